//! [`Decoder`] and [`section!`](crate::section): typed sections of a tree, with every problem reported at once.
//!
//! A section is declared once, field by field: type, default, range, unit, and what it means. The declaration is
//! the reader, and it is the table from which JSON Schema and the reference are generated.
//!
//! Reading never stops at a problem: a field that cannot be read is reported and takes its default, so that the
//! rest of the file still counts. Whoever decodes looks at the diagnostics before using the values.

use std::{collections::HashSet, fmt};

use indexmap::IndexMap;

use crate::{
    diagnostic::{Diagnostic, nearest},
    node::{Kind, Map, Node},
    source::{Sources, Span},
    value::{Value, python_float},
};

/// Names a section's place for messages: `backend.sglang_config.prefill`.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    key: &'a str,
}

impl Path<'_> {
    /// The document itself.
    pub const ROOT: Path<'static> = Path { parent: None, key: "" };

    /// A key below.
    pub fn key<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path { parent: Some(self), key }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parent {
            None => Ok(()),
            Some(parent) if parent.parent.is_none() => f.write_str(self.key),
            Some(parent) if self.key.starts_with('[') => write!(f, "{parent}{}", self.key),
            Some(parent) => write!(f, "{parent}.{}", self.key),
        }
    }
}

/// A key of the format, and the section it belongs to; for advice about keys in a wrong place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlace {
    /// The key.
    pub key: &'static str,
    /// Its section as text for people: `benchmark`, `backend (type: vllm)`.
    pub section: String,
    /// The key's name today, where the key is an earlier one.
    pub successor: Option<&'static str>,
}

/// The form of a value, for documents about the format.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Text.
    Text,
    /// An integer.
    Integer,
    /// A number.
    Number,
    /// A boolean.
    Boolean,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list.
    List(Box<Shape>),
    /// A mapping from any key.
    Map(Box<Shape>),
    /// Anything.
    Any,
    /// One of several forms.
    Either(Vec<Shape>),
    /// Also null.
    Nullable(Box<Shape>),
    /// A mapping with known keys.
    Section(SectionTable),
    /// A mapping whose keys depend on the word under `key`.
    Tagged {
        /// The key that decides.
        key: &'static str,
        /// The word when the key is absent.
        default: &'static str,
        /// The keys for each word.
        variants: Vec<(&'static str, SectionTable)>,
    },
}

/// The declaration of a section.
#[derive(Debug, Clone, PartialEq)]
pub struct SectionTable {
    /// What the section is about.
    pub doc: String,
    /// Its fields, in the order in which a reader wants to meet them.
    pub fields: Vec<FieldRow>,
}

/// The declaration of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRow {
    /// The key.
    pub key: &'static str,
    /// The form of its value.
    pub shape: Shape,
    /// The value when the key is absent; `None` where it must be there.
    pub default: Option<Value>,
    /// Unit and range.
    pub rules: FieldRules,
    /// What the field means.
    pub doc: String,
}

/// What a field's type does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldRules {
    /// Unit, such as `s`, `GB`, `tokens`.
    pub unit: &'static str,
    /// Smallest number.
    pub min: Option<f64>,
    /// Largest number.
    pub max: Option<f64>,
    /// Why the field has no effect; giving it is a warning.
    pub unused: Option<&'static str>,
    /// Types of the section that read the field; `None`: all.
    pub used_by: Option<&'static [&'static str]>,
    /// Names that the field had in earlier versions.
    pub formerly: Option<&'static [&'static str]>,
}

impl FieldRules {
    /// No rule.
    pub const NONE: Self =
        Self { unit: "", min: None, max: None, unused: None, used_by: None, formerly: None };
}

/// What an absent field means.
#[derive(Debug, Clone)]
pub enum Presence<T> {
    /// It is a problem.
    Required,
    /// It is this value.
    Or(T),
}

/// The field must be there.
pub fn required<T>() -> Presence<T> {
    Presence::Required
}

/// The field is `default` when absent.
pub fn or<T>(default: impl Into<T>) -> Presence<T> {
    Presence::Or(default.into())
}

/// The field is empty when absent.
pub fn absent<T: Default>() -> Presence<T> {
    Presence::Or(T::default())
}

/// A type that can be read from a node.
pub trait FromNode: Sized {
    /// Whether null is a value of the type.
    const NULLABLE: bool = false;

    /// The form of the value.
    fn shape() -> Shape;

    /// Reads the value; problems go to the decoder. Never called with null unless the type is nullable.
    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self>;

    /// A stand-in for a value that could not be read.
    fn placeholder() -> Self;

    /// The value as the reference shows it.
    fn show(&self) -> Value;
}

/// A mapping with known keys, declared by [`section!`](crate::section).
pub trait Section: FromNode {
    /// The known keys.
    const KEYS: &'static [&'static str];

    /// The declaration.
    fn table() -> SectionTable;

    /// Reads the fields of a mapping.
    fn from_map(node: &Node, map: &Map, path: Path<'_>, decoder: &mut Decoder<'_>) -> Self;
}

/// Reads typed values and collects problems.
#[derive(Debug)]
pub struct Decoder<'a> {
    /// The texts, for the words of a value as written.
    pub sources: &'a Sources,
    /// What was found so far.
    pub diagnostics: Vec<Diagnostic>,
    /// Where each key of the format belongs.
    places: &'a [KeyPlace],
    /// Paths of values that could not be read.
    failed: HashSet<String>,
    /// Paths of keys that an unknown key beside them was probably meant to be.
    meant: HashSet<String>,
}

impl<'a> Decoder<'a> {
    /// A decoder; `places` are all keys of the format.
    pub fn new(sources: &'a Sources, places: &'a [KeyPlace]) -> Self {
        Self { sources, diagnostics: Vec::new(), places, failed: HashSet::new(), meant: HashSet::new() }
    }

    /// Reports an error.
    pub fn error(&mut self, span: Span, code: &'static str, message: String, help: Option<String>) {
        self.diagnostics.push(self.sources.error(span, code, message).with_help_if(help));
    }

    /// Reports a warning.
    pub fn warning(&mut self, span: Span, code: &'static str, message: String, help: Option<String>) {
        self.diagnostics.push(self.sources.warning(span, code, message).with_help_if(help));
    }

    /// Whether a problem was found in a value or anywhere below a section. Rules between fields ask before they
    /// complain about the consequence of a problem that is already reported.
    pub fn has_failed(&self, path: &str) -> bool {
        self.failed.iter().any(|it| {
            it.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Notes that a value is unusable.
    pub fn fail(&mut self, path: Path<'_>) {
        self.failed.insert(path.to_string());
    }

    /// Reads a value of any type.
    pub fn read<T: FromNode>(
        &mut self,
        node: &Node,
        key_span: Span,
        path: Path<'_>,
        rules: &FieldRules,
    ) -> Option<T> {
        if node.is_null() && !T::NULLABLE {
            let help = format!("remove the line to use the default, or give {}", describe(&T::shape()));
            let span = if node.span.range().is_empty() { key_span } else { node.span };
            self.error(span, "null-value", format!("`{path}` may not be null"), Some(help));
            self.fail(path);
            return None;
        }
        let value = T::from_node(node, path, rules, self);
        if value.is_none() {
            self.fail(path);
        }
        value
    }

    /// Reads one field of a section.
    pub fn field<T: FromNode>(
        &mut self,
        (section, map): (&Node, &Map),
        path: Path<'_>,
        key: &'static str,
        presence: Presence<T>,
        rules: &FieldRules,
    ) -> T {
        let field_path = path.key(key);
        match (map.entry(key), presence) {
            (Some(entry), presence) => {
                if let Some(reason) = rules.unused {
                    let message = format!("`{field_path}` has no effect: {reason}");
                    self.warning(entry.key_span, "no-effect", message, Some("remove the line".to_owned()));
                }
                self.read(&entry.value, entry.key_span, field_path, rules).unwrap_or_else(|| match presence {
                    Presence::Or(default) => default,
                    Presence::Required => T::placeholder(),
                })
            }
            (None, Presence::Or(default)) => default,
            (None, Presence::Required) if self.meant.contains(&field_path.to_string()) => {
                self.fail(field_path);
                T::placeholder()
            }
            (None, Presence::Required) => {
                let help = format!("add `{key}:` with {}", describe(&T::shape()));
                let message = format!("`{field_path}` is missing");
                self.error(Self::first_key(section, map), "missing-key", message, Some(help));
                self.fail(field_path);
                T::placeholder()
            }
        }
    }

    /// Where a missing key is shown: at the section's first key, which is where a reader would add it.
    fn first_key(section: &Node, map: &Map) -> Span {
        map.iter()
            .map(|(_, entry)| entry.key_span)
            .find(|span| span.file == section.span.file)
            .unwrap_or(section.span)
    }

    /// Reports keys that the section does not know.
    pub fn check_keys(&mut self, map: &Map, known: &[&'static str], path: Path<'_>) {
        for (key, entry) in map.iter() {
            if !known.contains(&key) {
                self.unknown_key(key, entry.key_span, known, path);
            }
        }
    }

    /// Reports a key that the section does not know, and where it may have been meant to go.
    pub fn unknown_key(&mut self, key: &str, key_span: Span, known: &[&'static str], path: Path<'_>) {
        let place =
            if path.parent.is_none() { "at the top level".to_owned() } else { format!("in `{path}`") };
        let message = format!("unknown key `{key}` {place}");
        if let Some(near) = nearest(key, known.iter().copied()) {
            self.meant.insert(path.key(near).to_string());
        }
        self.error(key_span, "unknown-key", message, Some(self.advice(key, known)));
        self.fail(path.key(key));
    }

    fn advice(&self, key: &str, known: &[&'static str]) -> String {
        if let Some(near) = nearest(key, known.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        if let Some(unique) = completion(key, known) {
            return format!("did you mean `{unique}`?");
        }
        let renamed = self.places.iter().find(|place| place.key == key && place.successor.is_some());
        if let Some(KeyPlace { section, successor: Some(successor), .. }) = renamed {
            return format!("`{key}` is now called `{successor}`, in {section}");
        }
        let homes: Vec<&str> = self
            .places
            .iter()
            .filter(|place| place.key == key)
            .map(|place| place.section.as_str())
            .take(3)
            .collect();
        if !homes.is_empty() {
            return format!("`{key}` is a key of {}; check the indentation", homes.join(", or of "));
        }
        if known.is_empty() {
            return "remove the line".to_owned();
        }
        if known.len() > 16 {
            return "remove the line, or see the recipe reference for the known keys".to_owned();
        }
        let list: Vec<String> = known.iter().map(|it| format!("`{it}`")).collect();
        format!("known keys: {}", list.join(", "))
    }

    /// Reports a value of a wrong type.
    pub fn wrong_type(&mut self, node: &Node, path: Path<'_>, expected: &str, help: Option<String>) {
        // An empty span is the place of a value that was not written.
        let message = format!("`{path}` must be {expected}, not {}", node.kind.describe());
        self.error(node.span, "wrong-type", message, help);
    }

    fn check_range(&mut self, value: f64, node: &Node, path: Path<'_>, rules: &FieldRules) -> bool {
        let too_small = rules.min.filter(|min| value < *min);
        let too_large = rules.max.filter(|max| value > *max);
        let bound = |limit: f64| python_float(limit).trim_end_matches(".0").to_owned();
        let problem = match (too_small, too_large) {
            (Some(min), _) => format!("`{path}` must be at least {}", bound(min)),
            (_, Some(max)) => format!("`{path}` must be at most {}", bound(max)),
            (None, None) => return true,
        };
        let written = python_float(value);
        let message = format!("{problem}, not {}", written.trim_end_matches(".0"));
        self.error(node.span, "out-of-range", message, None);
        false
    }
}

/// The only known key that begins with the word.
fn completion(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let mut candidates = known.iter().filter(|it| word.len() >= 3 && it.starts_with(word));
    let first = candidates.next()?;
    candidates.next().is_none().then_some(first)
}

/// A form in words: `an integer`, `a list of text`.
pub(crate) fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Integer => "an integer".to_owned(),
        Shape::Number => "a number".to_owned(),
        Shape::Boolean => "true or false".to_owned(),
        Shape::Choice(words) => words.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "),
        Shape::List(item) => format!("a list of {}", plural(item)),
        Shape::Map(item) if **item == Shape::Any => "a mapping".to_owned(),
        Shape::Map(item) => format!("a mapping to {}", describe(item)),
        Shape::Any => "a value".to_owned(),
        Shape::Either(shapes) => shapes.iter().map(describe).collect::<Vec<_>>().join(" or "),
        Shape::Nullable(inner) => describe(inner),
        Shape::Section(_) | Shape::Tagged { .. } => "a mapping".to_owned(),
    }
}

fn plural(shape: &Shape) -> String {
    match shape {
        Shape::Integer => "integers".to_owned(),
        Shape::Number => "numbers".to_owned(),
        Shape::Text => "text values".to_owned(),
        other => describe(other),
    }
}

impl FromNode for String {
    fn shape() -> Shape {
        Shape::Text
    }

    fn from_node(node: &Node, path: Path<'_>, _: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        if let Kind::String(text) = &node.kind {
            return Some(text.clone());
        }
        let written = decoder.sources.slice(node.span);
        let help = match &node.kind {
            Kind::Int(seconds) if written.contains(':') => {
                Some(format!("unquoted, YAML reads {written} as the number {seconds}; write \"{written}\""))
            }
            Kind::Bool(value) if !written.starts_with(['t', 'f', 'T', 'F']) => {
                Some(format!("unquoted, YAML reads {written} as {value}; write \"{written}\""))
            }
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
                Some(format!("write it in quotes: \"{written}\""))
            }
            _ => None,
        };
        decoder.wrong_type(node, path, "text", help);
        None
    }

    fn placeholder() -> Self {
        Self::new()
    }

    fn show(&self) -> Value {
        Value::String(self.clone())
    }
}

/// Digits of an integer as Python's `int()` takes them from text.
fn integer_of_text(text: &str) -> Option<i64> {
    let trimmed = text.trim();
    let well_formed = !trimmed.starts_with('_') && !trimmed.ends_with('_') && !trimmed.contains("__");
    well_formed.then(|| trimmed.replace('_', "").parse().ok())?
}

impl FromNode for i64 {
    fn shape() -> Shape {
        Shape::Integer
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        let value = match &node.kind {
            Kind::Int(value) => Some(*value),
            Kind::String(text) => integer_of_text(text),
            Kind::Float(value) if value.is_finite() && value.abs() < 9e15 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "checked to be far inside the range of i64"
                )]
                let whole = value.trunc() as i64;
                if value.fract() != 0.0 {
                    let message =
                        format!("`{path}` is an integer: {} is read as {whole}", python_float(*value));
                    decoder.warning(node.span, "fraction-dropped", message, Some(format!("write {whole}")));
                }
                Some(whole)
            }
            _ => None,
        };
        let Some(value) = value else {
            let quoted = node.as_str().filter(|it| it.contains('{')).map(|_| {
                "a `{placeholder}` is replaced only by the parameters of a top-level `sweep`".to_owned()
            });
            decoder.wrong_type(node, path, "an integer", quoted);
            return None;
        };
        #[expect(clippy::cast_precision_loss, reason = "limits are small numbers")]
        let in_range = decoder.check_range(value as f64, node, path, rules);
        in_range.then_some(value)
    }

    fn placeholder() -> Self {
        0
    }

    fn show(&self) -> Value {
        Value::Int(*self)
    }
}

impl FromNode for f64 {
    fn shape() -> Shape {
        Shape::Number
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        let value = match &node.kind {
            #[expect(clippy::cast_precision_loss, reason = "a number field holds what a double holds")]
            Kind::Int(value) => Some(*value as f64),
            Kind::Float(value) => Some(*value),
            Kind::String(text) => text.trim().replace('_', "").parse().ok(),
            _ => None,
        };
        let Some(value) = value else {
            decoder.wrong_type(node, path, "a number", None);
            return None;
        };
        if !value.is_finite() {
            let message = format!("`{path}` must be a finite number");
            decoder.error(node.span, "out-of-range", message, None);
            return None;
        }
        decoder.check_range(value, node, path, rules).then_some(value)
    }

    fn placeholder() -> Self {
        0.0
    }

    fn show(&self) -> Value {
        Value::Float(*self)
    }
}

impl FromNode for bool {
    fn shape() -> Shape {
        Shape::Boolean
    }

    fn from_node(node: &Node, path: Path<'_>, _: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        let value = match &node.kind {
            Kind::Bool(value) => Some(*value),
            Kind::Int(0) => Some(false),
            Kind::Int(1) => Some(true),
            Kind::String(text) => bool_of_text(text),
            _ => None,
        };
        if value.is_none() {
            decoder.wrong_type(node, path, "true or false", None);
        }
        value
    }

    fn placeholder() -> Self {
        false
    }

    fn show(&self) -> Value {
        Value::Bool(*self)
    }
}

fn bool_of_text(text: &str) -> Option<bool> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" | "on" | "On" | "ON" | "y" | "Y" | "yes" | "Yes" | "YES"
        | "1" => Some(true),
        "f" | "F" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" | "n" | "N" | "no" | "No" | "NO"
        | "0" => Some(false),
        _ => None,
    }
}

impl FromNode for Value {
    const NULLABLE: bool = true;

    fn shape() -> Shape {
        Shape::Any
    }

    fn from_node(node: &Node, _: Path<'_>, _: &FieldRules, _: &mut Decoder<'_>) -> Option<Self> {
        Some(node.to_value())
    }

    fn placeholder() -> Self {
        Self::Null
    }

    fn show(&self) -> Value {
        self.clone()
    }
}

impl<T: FromNode> FromNode for Option<T> {
    const NULLABLE: bool = true;

    fn shape() -> Shape {
        Shape::Nullable(Box::new(T::shape()))
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.is_null() {
            return Some(None);
        }
        T::from_node(node, path, rules, decoder).map(Some)
    }

    fn placeholder() -> Self {
        None
    }

    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::show)
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Kind::List(nodes) = &node.kind else {
            let help = match &node.kind {
                Kind::String(_) | Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
                    Some(format!("write [{}]", decoder.sources.slice(node.span)))
                }
                _ => None,
            };
            decoder.wrong_type(node, path, &describe(&Self::shape()), help);
            return None;
        };
        let mut items = Self::with_capacity(nodes.len());
        for (index, item) in nodes.iter().enumerate() {
            let index = format!("[{index}]");
            items.extend(decoder.read::<T>(item, item.span, path.key(&index), rules));
        }
        (items.len() == nodes.len()).then_some(items)
    }

    fn placeholder() -> Self {
        Self::new()
    }

    fn show(&self) -> Value {
        Value::List(self.iter().map(T::show).collect())
    }
}

impl<T: FromNode> FromNode for IndexMap<String, T> {
    fn shape() -> Shape {
        Shape::Map(Box::new(T::shape()))
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Kind::Map(map) = &node.kind else {
            decoder.wrong_type(node, path, &describe(&Self::shape()), None);
            return None;
        };
        let mut items = Self::with_capacity(map.len());
        for (key, entry) in map.iter() {
            if let Some(value) = decoder.read::<T>(&entry.value, entry.key_span, path.key(key), rules) {
                items.insert(key.to_owned(), value);
            }
        }
        (items.len() == map.len()).then_some(items)
    }

    fn placeholder() -> Self {
        Self::new()
    }

    fn show(&self) -> Value {
        Value::Map(self.iter().map(|(key, value)| (key.clone(), value.show())).collect())
    }
}

/// Declares a section: a struct, its reader, and its table, from one list of fields.
///
/// ```
/// use srt_yaml::{or, required, section};
///
/// section! {
///     /// How long readiness may take.
///     pub struct HealthCheck {
///         /// Address that is asked.
///         url: String = required();
///         /// Attempts.
///         max_attempts: i64 = or(180), min = 1.0;
///         /// Time between attempts.
///         interval ("interval_seconds"): i64 = or(10), min = 1.0, unit = "s";
///     }
/// }
/// ```
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $section_doc:expr])+
        $visibility:vis struct $name:ident {
            $(
                $(#[doc = $doc:expr])+
                $field:ident $(($key:literal))? : $type:ty = $presence:expr $(, $rule:ident = $value:expr)* ;
            )*
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Debug, Clone, PartialEq)]
        $visibility struct $name {
            $( $(#[doc = $doc])+ $visibility $field: $type, )*
        }

        impl $crate::Section for $name {
            const KEYS: &'static [&'static str] = &[$( $crate::section_key!($field $($key)?) ),*];

            fn table() -> $crate::SectionTable {
                $crate::SectionTable {
                    doc: [$($section_doc),+].map(str::trim).join(" "),
                    fields: vec![$({
                        let presence: $crate::Presence<$type> = $presence;
                        $crate::FieldRow {
                            key: $crate::section_key!($field $($key)?),
                            shape: <$type as $crate::FromNode>::shape(),
                            default: match presence {
                                $crate::Presence::Required => None,
                                $crate::Presence::Or(value) => Some($crate::FromNode::show(&value)),
                            },
                            rules: $crate::section_rules!($($rule = $value),*),
                            doc: [$($doc),+].map(str::trim).join(" "),
                        }
                    }),*],
                }
            }

            fn from_map(
                node: &$crate::Node,
                map: &$crate::Map,
                path: $crate::Path<'_>,
                decoder: &mut $crate::Decoder<'_>,
            ) -> Self {
                decoder.check_keys(map, Self::KEYS, path);
                Self {
                    $( $field: decoder.field(
                        (node, map),
                        path,
                        $crate::section_key!($field $($key)?),
                        $presence,
                        &$crate::section_rules!($($rule = $value),*),
                    ), )*
                }
            }
        }

        impl $crate::FromNode for $name {
            fn shape() -> $crate::Shape {
                $crate::Shape::Section(<Self as $crate::Section>::table())
            }

            fn from_node(
                node: &$crate::Node,
                path: $crate::Path<'_>,
                _: &$crate::FieldRules,
                decoder: &mut $crate::Decoder<'_>,
            ) -> Option<Self> {
                let Some(map) = node.as_map() else {
                    decoder.wrong_type(node, path, "a mapping", None);
                    return None;
                };
                Some(<Self as $crate::Section>::from_map(node, map, path, decoder))
            }

            fn placeholder() -> Self {
                Self {
                    $( $field: match $presence {
                        $crate::Presence::Or(value) => value,
                        $crate::Presence::Required => $crate::FromNode::placeholder(),
                    }, )*
                }
            }

            fn show(&self) -> $crate::Value {
                $crate::Value::Map(Default::default())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $crate::FromNode::placeholder()
            }
        }
    };
}

/// The key of a field: the given text, or the field's name.
#[doc(hidden)]
#[macro_export]
macro_rules! section_key {
    ($field:ident $key:literal) => {
        $key
    };
    ($field:ident) => {
        stringify!($field)
    };
}

/// The rules of a field; ranges and reasons are given bare.
#[doc(hidden)]
#[macro_export]
macro_rules! section_rules {
    (@set $rules:ident unit $value:expr) => {
        $rules.unit = $value
    };
    (@set $rules:ident $rule:ident $value:expr) => {
        $rules.$rule = Some($value)
    };
    () => { $crate::FieldRules::NONE };
    ($($rule:ident = $value:expr),+) => {{
        let mut rules = $crate::FieldRules::NONE;
        $( $crate::section_rules!(@set rules $rule $value); )+
        rules
    }};
}
