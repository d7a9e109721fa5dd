//! [`Node`]: a value and its place in a file.

use indexmap::IndexMap;

use crate::{source::Span, value::Value};

/// A value and its place in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value stands.
    pub span: Span,
    /// The value.
    pub kind: Kind,
}

/// A value whose parts know their places.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `null`, `~`, or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a dot.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

impl Kind {
    /// What the value is, for messages: `an integer`, `text`.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// A mapping in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    entries: IndexMap<String, Entry>,
}

/// The value of a key, and where the key stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value of a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// The value of a key and the place of the key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Adds a key at the end, or replaces its value where it stands.
    pub fn insert(&mut self, key: String, key_span: Span, value: Node) -> Option<Entry> {
        self.entries.insert(key, Entry { key_span, value })
    }

    /// Removes a key; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        self.entries.shift_remove(key)
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Keys and values, to change the values.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.entries.values_mut().map(|entry| &mut entry.value)
    }

    /// Keys in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Node {
    /// A node.
    pub fn new(span: Span, kind: Kind) -> Self {
        Self { span, kind }
    }

    /// A node that stands for `value` and points at the cause of its being there.
    pub fn from_value(span: Span, value: Value) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(it) => Kind::Bool(it),
            Value::Int(it) => Kind::Int(it),
            Value::Float(it) => Kind::Float(it),
            Value::String(it) => Kind::String(it),
            Value::List(items) => {
                Kind::List(items.into_iter().map(|item| Self::from_value(span, item)).collect())
            }
            Value::Map(items) => {
                let mut map = Map::default();
                for (key, item) in items {
                    map.insert(key, span, Self::from_value(span, item));
                }
                Kind::Map(map)
            }
        };
        Self { span, kind }
    }

    /// The value without its places.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(it) => Value::Bool(*it),
            Kind::Int(it) => Value::Int(*it),
            Kind::Float(it) => Value::Float(*it),
            Kind::String(it) => Value::String(it.clone()),
            Kind::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            Kind::Map(map) => {
                Value::Map(map.iter().map(|(key, entry)| (key.to_owned(), entry.value.to_value())).collect())
            }
        }
    }

    /// The mapping, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping, to change it.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// Python's idea of truth, which decides some conditions of the format.
    pub fn is_truthy(&self) -> bool {
        match &self.kind {
            Kind::Null => false,
            Kind::Bool(it) => *it,
            Kind::Int(it) => *it != 0,
            Kind::Float(it) => *it != 0.0,
            Kind::String(it) => !it.is_empty(),
            Kind::List(it) => !it.is_empty(),
            Kind::Map(it) => !it.is_empty(),
        }
    }

    /// The node below a chain of keys.
    pub fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.as_map()?.get(key))
    }

    /// Place of the node below a chain of keys, or of the nearest mapping above it that exists.
    pub fn span_at(&self, keys: &[&str]) -> Span {
        let mut node = self;
        let mut span = self.span;
        for key in keys {
            let Some(entry) = node.as_map().and_then(|map| map.entry(key)) else { break };
            node = &entry.value;
            // A whole section is best shown by its key; a value by itself.
            span = if matches!(node.kind, Kind::Map(_) | Kind::Null) { entry.key_span } else { node.span };
        }
        span
    }
}

/// `base` with `over` laid on it: mappings merge, null removes a key, anything else replaces. Every node keeps the
/// place it came from, so that a complaint about an overridden value points at the override.
pub fn overlay(base: &Node, over: &Node) -> Node {
    let (Kind::Map(base_map), Kind::Map(over_map)) = (&base.kind, &over.kind) else { return over.clone() };
    let mut merged = base_map.clone();
    for (key, entry) in over_map.iter() {
        if entry.value.is_null() {
            merged.remove(key);
            continue;
        }
        let value = match merged.get(key) {
            Some(existing) => overlay(existing, &entry.value),
            None => entry.value.clone(),
        };
        // A merged mapping still belongs to its key in the base; a replaced value belongs to the override.
        let key_span = match merged.entry(key) {
            Some(existing) if value.as_map().is_some() && existing.value.as_map().is_some() => {
                existing.key_span
            }
            _ => entry.key_span,
        };
        merged.insert(key.to_owned(), key_span, value);
    }
    Node { span: base.span, kind: Kind::Map(merged) }
}
