//! The core paths, timed one by one.

use bench::paths;
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for mut path in paths::all() {
        let mut group = criterion.benchmark_group(path.group);
        group.throughput(Throughput::Elements(path.times as u64));
        group.bench_function(path.name, |bencher| bencher.iter(&mut path.turn));
    }
    criterion.final_summary();
}
