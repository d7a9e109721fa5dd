//! [`Value`]: a YAML value without its place in a file.

use indexmap::IndexMap;

/// A YAML value, resolved by the rules of YAML 1.1 as PyYAML applies them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// `true`, `yes`, `on`, and their opposites.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a dot, or `.inf` and `.nan`.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Value>),
    /// A mapping in the order of the file.
    Map(IndexMap<String, Value>),
}
