//! What other users of the machine cannot touch: commands that the primaries run for a lock and its release, system calls that
//! the proxy makes for them, instructions of the core paths.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::Plan;
use crate::connections::Connections;
use crate::instructions;
use crate::lines::Lines;
use crate::load::{Load, Pace};
use crate::pairs::{Pairs, Verb};
use crate::paths;
use crate::results::{Section, markdown};
use crate::stand::{Parts, Stand, TTL_MS};
use crate::trace::Trace;

/// How often each was counted, by name.
type Counts = BTreeMap<String, f64>;

/// One way to lock, and what was counted for each pair.
struct Column {
    title: String,
    counts: Counts,
}

/// What is traced is slow: a primary's answer is not late for that.
const PATIENT: [(&str, &str); 2] = [("node_timeout_ms", "3000"), ("silence_timeout_ms", "10000")];

/// For distinct keys, on a stand of its own. System calls are counted where `strace` may look at the proxy.
pub fn measure(parts: &Parts, plan: &Plan) -> Section {
    let patient = PATIENT.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = parts.settings.iter().cloned().chain(patient).collect();
    let stand = &Stand::start(&Parts { settings, ..parts.clone() });
    let load = plan.load(Pace::Closed);
    let ways = ["1", "64", "1x64"].map(|text| text.parse::<Connections>().expect("connections"));
    let commands: Vec<Column> = ways
        .into_iter()
        .map(|on| (on, Verb::Plain))
        .chain([(ways[1], Verb::Fence)])
        .map(|(on, verb)| Column { title: title(on, verb), counts: commands(stand, on, verb, &load) })
        .collect();
    let calls: Result<Vec<Column>, String> = ways
        .into_iter()
        .map(|on| Ok(Column { title: title(on, Verb::Plain), counts: system_calls(stand, on, &load)? }))
        .collect();
    let mut text = format!(
        "Commands on each primary for one lock and its release, those that scripts run among them:\n\n{}",
        table("command", &commands)
    );
    // Writing to a string cannot fail.
    let _ = match &calls {
        Ok(calls) => write!(
            text,
            "\nSystem calls of the proxy for one lock and its release. It is slow while it is traced, so that more comes together \
             on many connections than otherwise:\n\n{}",
            table("call", calls)
        ),
        Err(reason) => writeln!(text, "\n- not counted: system calls of the proxy: {reason}"),
    };
    let instructions = instructions::count(&paths::all());
    let _ = match &instructions {
        Ok(all) => {
            let rows = all.iter().map(|(path, count)| vec![path.clone(), format!("{count:.0}")]);
            write!(
                text,
                "\nInstructions of the core paths (callgrind):\n\n{}",
                markdown(&["path", "instructions"], rows)
            )
        }
        Err(reason) => writeln!(text, "\n- not counted: instructions: {reason}"),
    };
    let json = json!({
        "case": "counts",
        "commands": columns(&commands),
        "system_calls": calls.ok().map(|all| columns(&all)),
        "instructions": instructions.ok().map(|all| all.into_iter().collect::<Counts>()),
    });
    Section { title: "Counts, distinct keys".into(), text, json, ..Section::default() }
}

fn title(on: Connections, verb: Verb) -> String {
    format!("{on}{}", if verb == Verb::Fence { ", FENCE" } else { "" })
}

/// How many pairs were had. One that fails ends it: what is counted would be another's.
fn pairs(stand: &Stand, lines: &mut Lines, on: Connections, verb: Verb, load: &Load) -> f64 {
    eprintln!("counts: {}", title(on, verb));
    let mut pairs = Pairs::new(on.clients(), verb, TTL_MS);
    let (measured, _) = stand.measure(&mut pairs, lines, load);
    assert_eq!(measured.failures, 0, "{:?}", measured.first_failure);
    measured.operations as f64
}

/// On the average primary.
fn commands(stand: &Stand, on: Connections, verb: Verb, load: &Load) -> Counts {
    let counted = || settled(|| counted(stand));
    let before = counted();
    let divisor = pairs(stand, &mut stand.lines(on.count), on, verb, load) * stand.fleet.len() as f64;
    let mut counts = counted();
    for (command, calls) in &mut counts {
        *calls = (*calls - before.get(command).unwrap_or(&0.0)) / divisor;
    }
    counts.retain(|_, calls| *calls > 0.0);
    counts
}

/// By all primaries together. What asks for it is not counted.
fn counted(stand: &Stand) -> Counts {
    let mut sum = Counts::new();
    for server in stand.fleet.iter() {
        let told = stand.wait(server.command(&["INFO", "commandstats"])).text();
        for (command, calls) in commands_of(&told) {
            *sum.entry(command).or_default() += calls;
        }
    }
    sum.remove("info");
    sum
}

/// Once nothing more comes: a primary that nobody has waited for may still be at work for former locks. A probe now and then
/// does not keep it from that.
fn settled(count: impl Fn() -> Counts) -> Counts {
    const QUIET: Duration = Duration::from_millis(50);
    const PATIENCE: Duration = Duration::from_secs(30);
    let began = Instant::now();
    let mut before = count();
    loop {
        thread::sleep(QUIET);
        let now = count();
        if ["set", "evalsha", "delifeq", "delex"].iter().all(|command| now.get(*command) == before.get(*command)) {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "commands still come after {PATIENCE:?}");
        before = now;
    }
}

/// What INFO tells of the server's commands.
fn commands_of(info: &str) -> impl Iterator<Item = (String, f64)> {
    info.lines().filter_map(|line| {
        let (command, told) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((command.to_owned(), told.split(',').next()?.parse().ok()?))
    })
}

fn system_calls(stand: &Stand, on: Connections, load: &Load) -> Result<Counts, String> {
    let mut lines = stand.lines(on.count);
    let trace = Trace::of(stand.proxy.id())?;
    let divisor = pairs(stand, &mut lines, on, Verb::Plain, load);
    let calls = trace.end()?;
    Ok(calls.into_iter().map(|(call, count)| (call, count as f64 / divisor)).collect())
}

/// Rows by name, and their sum; what hardly ever happens is put together.
fn table(what: &str, columns: &[Column]) -> String {
    const RARE: f64 = 0.005;
    let mut names: Vec<&String> = columns.iter().flat_map(|column| column.counts.keys()).collect();
    names.sort();
    names.dedup();
    let most = |name: &str| columns.iter().filter_map(|column| column.counts.get(name)).copied().fold(0.0, f64::max);
    names.retain(|name| most(name) >= RARE);
    let row = |name: &str, count: &dyn Fn(&Column) -> f64| {
        [name.to_owned()].into_iter().chain(columns.iter().map(|column| format!("{:.2}", count(column)))).collect()
    };
    let count = |column: &Column, name: &String| column.counts.get(name).copied().unwrap_or_default();
    let mut rows: Vec<Vec<String>> = names.iter().map(|name| row(name, &|column| count(column, name))).collect();
    let frequent = |column: &Column| names.iter().map(|name| count(column, name)).sum::<f64>();
    rows.push(row("others", &|column| column.counts.values().sum::<f64>() - frequent(column)));
    rows.push(row("all", &|column| column.counts.values().sum()));
    let headings: Vec<&str> = [what].into_iter().chain(columns.iter().map(|column| &column.title[..])).collect();
    markdown(&headings, rows)
}

fn columns(all: &[Column]) -> Json {
    all.iter().map(|column| (column.title.clone(), json!(column.counts))).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_statistics_are_read() {
        let told =
            "# Commandstats\r\ncmdstat_set:calls=12,usec=3\r\ncmdstat_client|setname:calls=1,usec=3\r\nother:1\r\n";
        let read: Vec<_> = commands_of(told).collect();
        assert_eq!(read, [("set".to_owned(), 12.0), ("client|setname".into(), 1.0)]);
    }

    #[test]
    fn what_is_rare_is_one_row() {
        let column = |title: &str, counts: &[(&str, f64)]| Column {
            title: title.into(),
            counts: counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect(),
        };
        let columns = [column("1", &[("set", 1.0), ("ping", 0.001), ("time", 0.002)]), column("64", &[("del", 1.0)])];
        let expected = "| command | 1 | 64 |\n|---|---:|---:|\n| del | 0.00 | 1.00 |\n| set | 1.00 | 0.00 |\n\
                        | others | 0.00 | 0.00 |\n| all | 1.00 | 1.00 |\n";
        assert_eq!(table("command", &columns), expected);
    }
}
