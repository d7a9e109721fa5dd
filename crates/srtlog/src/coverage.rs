//! [`Coverage`]: how much of a file was understood, so that a changed log format is noticed the day it changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Distinct unknown names that are kept; more than these means the line is no metric line at all.
const MAX_NAMES: usize = 64;
/// Longest unknown name that is kept.
const MAX_NAME: usize = 48;
/// Lines kept as examples.
const MAX_EXAMPLES: usize = 3;
/// Longest part of a line that is kept.
const MAX_EXAMPLE: usize = 240;

/// What a reader understood of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// Lines seen.
    pub lines: u64,
    /// Lines that say they are metric lines.
    pub candidates: u64,
    /// Metric lines of which at least one reading was taken; a line with two records counts twice.
    pub parsed: u64,
    /// Values of known fields that were no number.
    pub malformed_values: u64,
    /// Lines longer than a reader keeps, cut.
    pub cut_lines: u64,
    /// Fields of metric lines that no reader knows, with how often they occurred.
    pub unknown_fields: BTreeMap<String, u64>,
    /// The first candidates that could not be read.
    pub unparsed_examples: Vec<String>,
}

impl Coverage {
    pub(crate) fn unknown_field(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]);
        let name = name.trim();
        if name.is_empty() {
            return;
        }
        if let Some(count) = self.unknown_fields.get_mut(name) {
            *count += 1;
        } else if self.unknown_fields.len() < MAX_NAMES {
            self.unknown_fields.insert(name.to_owned(), 1);
        }
    }

    pub(crate) fn unparsed(&mut self, line: &[u8]) {
        if self.unparsed_examples.len() < MAX_EXAMPLES {
            let part = &line[..line.len().min(MAX_EXAMPLE)];
            self.unparsed_examples.push(String::from_utf8_lossy(part).into_owned());
        }
    }

    /// Adds the counts of another file of the same worker.
    pub fn add(&mut self, other: &Coverage) {
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.candidates += other.candidates;
        self.parsed += other.parsed;
        self.malformed_values += other.malformed_values;
        self.cut_lines += other.cut_lines;
        for (name, count) in &other.unknown_fields {
            *self.unknown_fields.entry(name.clone()).or_default() += count;
        }
        let room = MAX_EXAMPLES.saturating_sub(self.unparsed_examples.len());
        self.unparsed_examples.extend(other.unparsed_examples.iter().take(room).cloned());
    }
}
