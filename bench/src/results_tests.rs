use super::*;
use crate::connections::Connections;
use crate::series::examples::{self, run};
use crate::series::{FLOOR, Spread};

fn series(by: &str, clients: usize, rates: [f64; 3]) -> Series {
    examples::series("distinct", by, clients, rates)
}

/// One round met a busy machine: both were slow, and the ratio is what it was.
fn measured() -> Vec<Series> {
    let multiplexed = "1x64".parse().expect("one connection");
    vec![
        series(FLOOR, 1, [7.0, 7.0, 7.0]),
        series(FLOOR, 64, [1000.0, 100.0, 2000.0]),
        series("proxy", 64, [500.0, 60.0, 1000.0]).on(multiplexed).against(FLOOR, 64),
    ]
}

#[test]
fn ratios_are_made_within_a_round_and_against_as_many_clients() {
    let all = measured();
    assert!(all[1].base(&all).is_none(), "a floor has none");
    let base = all[2].base(&all).expect("of 64 clients");
    let ratio = all[2].ratios(base, |run| run.per_second);
    assert_eq!(ratio, Spread { median: 0.5, lowest: 0.5, highest: 0.6 });
}

#[test]
fn what_goes_through_the_proxy_is_seen_against_what_goes_the_same_way() {
    let on = |text: &str| text.parse::<Connections>().expect("connections");
    let plain = |connections| series("plain", 64, [1.0; 3]).on(connections);
    let all = [plain(on("64")), plain(on("1x64")), series("fence", 64, [1.0; 3]).on(on("1x64")).against("plain", 64)];
    assert_eq!(all[2].base(&all).and_then(|base| base.connections), Some(on("1x64")));
    assert!(all[2].base(&all[..1]).is_none(), "it was not measured");
}

#[test]
fn the_table_has_a_row_for_each_series() {
    let table = table(&measured(), FLOOR);
    let row = "| proxy | 1x64 | 500 | 60 to 1 000 | 0.50 (0.50 to 0.60) | 2 000 | 2.00 (1.67 to 2.00) \
               | 4 000 | 2.00 (1.67 to 2.00) | 6 000 | 1.0 | 2.0 | 3.0 |";
    assert_eq!(table.lines().last(), Some(row));
    assert!(table.contains("| rate/floor |"), "{table}");
    let cells = |line: &str| line.matches('|').count();
    assert!(table.lines().all(|line| cells(line) == cells(row)), "{table}");
}

#[test]
fn fairness_has_a_column_where_it_was_looked_at() {
    let mut all = measured();
    for (run, unfairness) in all[2].runs.iter_mut().zip([1.5, 1.0, 1.25]) {
        *run = run.clone().with_unfairness(unfairness);
    }
    let table = table(&all, FLOOR);
    assert!(table.ends_with(" | 3.0 | 1.25 (1.00 to 1.50) |\n"), "{table}");
    assert!(table.lines().nth(2).is_some_and(|floor| floor.ends_with(" | 3.0 |  |")), "{table}");
}

#[test]
fn failures_are_told_with_the_first_of_them() {
    let mut all = measured();
    assert_eq!(failures(&all), "");
    let failed = Run { failures: 2, first_failure: Some("RLOCK: null".into()), ..run(1.0) };
    all[2].runs[1..].fill(failed);
    let line = "- **4 operations failed** in distinct, proxy, 1x64 connections; the first: RLOCK: null\n";
    assert_eq!(failures(&all), line);
}

#[test]
fn the_json_tells_medians_rounds_and_ratios() {
    let section = Section::of("Locks".into(), FLOOR, measured());
    let json = &section.json["series"];
    assert_eq!(json[2]["median"]["per_second"], 500.0);
    assert_eq!(json[2]["rounds"].as_array().map(Vec::len), Some(3));
    assert_eq!(json[2]["ratio"]["per_second"]["highest"], 0.6);
    assert_eq!((json[2]["connections"].clone(), json[2]["depth"].clone()), (1.into(), 64.into()));
    assert_eq!(json[1]["ratio"], Value::Null);
}
