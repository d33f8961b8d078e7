//! The report: printed section by section, and written with its plots when it is whole.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::machine::{self, Machine};
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

    /// With this as well.
    pub fn add(&mut self, section: Section) {
        println!("{section}");
        // Writing to a string cannot fail.
        let _ = write!(self.text, "\n{section}");
        self.sections.push(section);
    }

    /// Ends it with what was to be reached.
    pub fn end(&mut self) {
        self.add(reach::section(&self.sections));
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
        write(&format!("{date}.json"), &format!("{document:#}\n"));
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
