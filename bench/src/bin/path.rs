//! Walks one of the core paths so many times: `path TITLE TURNS`. For those who count its instructions.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [title, turns] = arguments.as_slice() else {
        eprintln!("path TITLE TURNS");
        return ExitCode::from(2);
    };
    let Ok(turns) = turns.parse::<u64>() else {
        eprintln!("{turns}: no number of turns");
        return ExitCode::from(2);
    };
    let mut paths = bench::paths::all();
    let Some(path) = paths.iter_mut().find(|path| path.title() == *title) else {
        let titles: Vec<String> = paths.iter().map(bench::paths::CorePath::title).collect();
        eprintln!("{title}: none of {}", titles.join("; "));
        return ExitCode::from(2);
    };
    (0..turns).for_each(|_| (path.turn)());
    ExitCode::SUCCESS
}
