//! The report: printed section by section, and written with its plots when it is whole.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::machine::{self, Machine};
use crate::panics::caught;
use crate::plots;
use crate::reach;
use crate::results::Section;

/// What has been found so far.
#[derive(Debug)]
pub struct Report {
    machine: Machine,
    text: String,
    sections: Vec<Section>,
}

impl Report {
    /// Of measurements that begin now.
    pub fn new(machine: Machine, rounds: u16, command: &str) -> Self {
        let text = format!("# Locks and the relay, medians of {rounds} rounds\n\n{machine}- `{command}`\n");
        println!("{text}");
        Self { machine, text, sections: Vec::new() }
    }

    fn add(&mut self, section: Section) {
        println!("{section}");
        // Writing to a string cannot fail.
        let _ = write!(self.text, "\n{section}");
        self.sections.push(section);
    }

    /// With what is measured now. What cannot be is said, and the rest goes on.
    pub fn measure(&mut self, title: &str, case: impl FnOnce() -> Vec<Section>) {
        let sections = caught(case).unwrap_or_else(|reason| {
            let failures = format!("- **not measured**: {reason}\n");
            vec![Section { title: title.into(), failures, ..Section::default() }]
        });
        for section in sections {
            self.add(section);
        }
    }

    /// Ends it with what was to be reached, by all that there is to measure or by some of it.
    pub fn end(&mut self, is_whole: bool) {
        self.add(reach::section(&self.sections, is_whole));
        let end = format!("Load at the end: {}.\n", machine::load());
        println!("{end}");
        self.text = format!("{}\n{end}", self.text);
    }

    /// Whether an operation has.
    pub fn has_failed(&self) -> bool {
        self.sections.iter().any(|section| !section.failures.is_empty())
    }

    /// Writes `<date>.json`, `<date>.md` and the plots.
    pub fn write(&self, folder: &Path, date: &str) {
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
            eprintln!("written to {}", file.display());
        };
        let sections: Value = self.sections.iter().map(|section| section.json.clone()).collect();
        let document = json!({"date": date, "machine": self.machine.json(), "sections": sections});
        write(&format!("{date}.json"), &format!("{document}\n"));
        let mut text = self.text.clone();
        let plots = plots::all(&self.sections);
        if !plots.is_empty() {
            text.push_str("\n## Plots\n");
        }
        for plot in plots {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n![{}]({})\n", plot.title, plot.file);
            write(plot.file, &plot.svg);
        }
        write(&format!("{date}.md"), &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_measured_is_said_and_the_rest_is_written() {
        let mut report = Report::new(Machine::default(), 5, "bench");
        report.measure("Nothing", || panic!("no {}", "server"));
        assert!(report.has_failed());
        report
            .measure("Locks", || vec![Section { title: "Locks".into(), text: "fast\n".into(), ..Section::default() }]);
        report.end(true);
        let folder = tempfile::tempdir().expect("a temporary folder");
        report.write(folder.path(), "2026-01-01");
        let text = fs::read_to_string(folder.path().join("2026-01-01.md")).expect("written");
        for part in
            ["## Nothing\n\n\n- **not measured**: no server\n", "\n## Locks\n\nfast\n", "## What is to be reached\n"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json = fs::read(folder.path().join("2026-01-01.json")).expect("written");
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(json["sections"].as_array().map(Vec::len), Some(3));
    }
}
