//! YAML text to a tree whose every node knows its file and bytes; merge, strict decoding, and diagnostics.
//!
//! The principal types are [`Sources`] (the texts of one reading), [`Node`] (a value and its place),
//! [`Decoder`] with [`section!`] (typed sections, all problems at once), and [`Diagnostic`]. [`Value`] is a node
//! without its place, for what is passed on: engine flags, and files written for engines.
//!
//! Plain scalars mean what they mean to `PyYAML` (YAML 1.1 with its quirks), because that is what recipes were
//! written for: `yes` is a boolean, `n` is text, `4:00:00` is a number, `1e-5` is text.
//!
//! ```
//! use srt_yaml::{Source, Sources};
//!
//! let mut sources = Sources::default();
//! let file =
//!     sources.add(&Source { path: "a.yaml".to_owned(), text: "flags: {tp-size: 8}".to_owned() });
//! let tree = srt_yaml::parse(&sources, file, &mut Vec::new()).expect("the text is YAML");
//! assert_eq!(
//!     tree.at(&["flags", "tp-size"]).map(|node| node.to_value().python_str()),
//!     Some("8".to_owned())
//! );
//! ```

mod decode;
mod diagnostic;
mod node;
mod parse;
mod scalar;
mod source;
mod value;
mod write;

pub use crate::{
    decode::{
        Decoder, FieldRow, FieldRules, FromNode, KeyPlace, Path, Presence, Section, SectionTable, Shape,
        absent, or, required,
    },
    diagnostic::{Diagnostic, Severity, edit_distance, nearest},
    node::{Entry, Kind, Map, Node, overlay},
    parse::parse,
    source::{FileId, Source, Sources, Span},
    value::{Value, python_float},
    write::{KeyOrder, write_yaml},
};
