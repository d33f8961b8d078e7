use super::*;
use crate::connections::Connections;
use crate::series::examples;

fn series(case: &'static str, by: &str, on: &str, rate: f64) -> Series {
    let connections: Connections = on.parse().expect("connections");
    let series = examples::series(case, by, connections.clients(), [0.9, 1.0, 1.2].map(|part| part * rate));
    if case == "contended" || by == FLOOR { series } else { series.on(connections) }
}

fn measured() -> Vec<Section> {
    let mut all = Vec::new();
    for (on, rate) in [("1", 4e3), ("16", 15e3), ("64", 2e4), ("256", 22e3), ("1000", 21e3)] {
        all.push(series("distinct", "proxy", on, rate));
        all.push(series("distinct", FLOOR, on, 1.7 * rate));
        all.push(examples::series("distinct", SHARED_FLOOR, all[all.len() - 1].clients, [2.2 * rate; 3]));
    }
    all.push(series("distinct", "proxy", "1x64", 5e4));
    all.push(series("contended", FLOOR, "1", 9e3));
    for (on, rate) in [("1", 5e3), ("4", 4e3), ("16", 38e2), ("64", 35e2), ("256", 3e3)] {
        all.push(series("contended", "proxy, WAIT", on, rate));
    }
    for (on, rate) in [("64", 2e4), ("1x64", 5e4)] {
        all.push(series("dead", "proxy, healthy", on, rate));
        all.push(series("dead", "proxy, one dead", on, 0.95 * rate));
    }
    vec![Section { series: all, ..Section::default() }]
}

#[test]
fn each_plot_names_its_axes_its_places_and_its_lines() {
    let plots = all(&measured());
    let expected: [(&str, &[&str]); 4] = [
        (
            "throughput.svg",
            &["pairs a second", "clients", "1 000", "proxy", "one connection with 64", "floor: bare", "sharing"],
        ),
        ("latency.svg", &["lock + unlock", "clients", "256", "1 ms", "proxy, p99.9", "floor, p50"]),
        ("hand-over.svg", &["time of a hand-over", "clients that want it", "200 µs", "proxy, p99", "floor, p50"]),
        ("dead-primary.svg", &["pairs a second", "lock + unlock", "1x64", "p99.9", "all healthy", "one dead"]),
    ];
    assert_eq!(plots.len(), expected.len());
    for (plot, (file, texts)) in plots.iter().zip(expected) {
        assert_eq!(plot.file, file);
        for text in texts {
            assert!(plot.svg.contains(text), "{file}: {text}");
        }
        if let Some(folder) = std::env::var_os("BENCH_PLOTS") {
            std::fs::write(std::path::Path::new(&folder).join(file), &plot.svg).expect("a folder");
        }
    }
}

#[test]
fn what_was_not_measured_is_not_plotted() {
    let mut some = measured();
    some[0].series.retain(|series| series.case == "contended");
    assert_eq!(all(&some).iter().map(|plot| plot.file).collect::<Vec<_>>(), ["hand-over.svg"]);
    assert!(all(&[]).is_empty());
}

#[test]
fn only_the_first_stand_is_plotted() {
    let mut two = measured();
    let five = two.clone();
    two.extend(five);
    let series: Vec<&Series> = two.iter().flat_map(|section| &section.series).collect();
    let found = by_clients(&series, "distinct", "proxy");
    assert_eq!(found.iter().map(|(clients, _)| *clients).collect::<Vec<_>>(), [1, 16, 64, 256, 1000]);
}
