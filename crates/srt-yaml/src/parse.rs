//! [`parse`]: text to a tree of [`Node`]s, by the events of the YAML parser.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use crate::{
    diagnostic::Diagnostic,
    node::{Kind, Map, Node},
    scalar,
    source::{FileId, Sources, Span},
};

/// Deeper trees are refused, so that walking a tree cannot exhaust the stack.
const MAX_DEPTH: usize = 100;

/// Larger trees are refused, so that aliases of aliases cannot exhaust memory.
const MAX_NODES: usize = 500_000;

/// Reads one YAML document. Problems are appended to `diagnostics`; `None` means that there is no tree at all.
/// An empty text is null. A duplicate key is a warning, and its last value counts, as in `PyYAML`.
pub fn parse(sources: &Sources, file: FileId, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    let builder = Builder {
        sources,
        file,
        diagnostics,
        frames: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    match builder.run() {
        Ok(node) => Some(node),
        Err(problem) => {
            diagnostics.push(*problem);
            None
        }
    }
}

type Outcome<T> = Result<T, Box<Diagnostic>>;

/// A finished node with what the limits need to know about it.
#[derive(Clone)]
struct Built {
    node: Node,
    depth: usize,
    size: usize,
    key: Key,
}

/// How a node reads when it stands where a key is expected.
#[derive(Clone)]
enum Key {
    Text(String),
    Merge,
    Collection,
}

struct Frame {
    start: usize,
    anchor: usize,
    depth: usize,
    size: usize,
    contents: Contents,
}

enum Contents {
    List(Vec<Node>),
    Map { pairs: Vec<(Key, Span, Node)>, pending: Option<(Key, Span)> },
}

struct Builder<'a> {
    sources: &'a Sources,
    file: FileId,
    diagnostics: &'a mut Vec<Diagnostic>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn run(mut self) -> Outcome<Node> {
        let text = self.sources.text(self.file);
        if let Some((offset, character)) = text.char_indices().find(|(_, it)| is_forbidden(*it)) {
            let span = self.span(offset, offset + character.len_utf8());
            let message = format!("the character U+{:04X} may not stand in YAML", u32::from(character));
            return Err(Box::new(self.sources.error(span, "yaml-syntax", message)));
        }
        let options = granit_parser::options! {
            block_scalar_eof_without_line_feed: true,
            emit_comments: false,
        };
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| Box::new(self.syntax_error(&error)))?;
            let range = span.byte_range().unwrap_or(0..0);
            let (start, end) = (range.start, range.end);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let span = self.span(start, end);
                        return Err(Box::new(
                            self.sources
                                .error(span, "yaml-syntax", "a second YAML document starts here".to_owned())
                                .with_help("one file holds one document; split the file at `---`".to_owned()),
                        ));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let built = self.scalar(&text, style, tag.as_deref(), self.span(start, end))?;
                    self.finish(built, anchor, 1)?;
                }
                Event::SequenceStart(_, anchor, _) => {
                    self.open(start, anchor, Contents::List(Vec::new()));
                }
                Event::MappingStart(_, anchor, _) => {
                    self.open(start, anchor, Contents::Map { pairs: Vec::new(), pending: None });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(end)?,
                Event::Alias(id) => {
                    let span = self.span(start, end);
                    let Some(built) = self.anchors.get(&id).cloned() else {
                        let message = "an alias may not stand inside the node it names".to_owned();
                        return Err(Box::new(self.sources.error(span, "yaml-syntax", message)));
                    };
                    let size = built.size;
                    self.finish(built, 0, size)?;
                }
                _ => {}
            }
        }
        Ok(self.root.take().unwrap_or(Node::new(Span::new(self.file, 0, 0), Kind::Null)))
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end)
    }

    fn syntax_error(&self, error: &granit_parser::ScanError) -> Diagnostic {
        let text = self.sources.text(self.file);
        let offset = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
        let rest = text.get(offset..).unwrap_or_default();
        let line_start = text.get(..offset).unwrap_or_default().rfind('\n').map_or(0, |index| index + 1);
        let indentation = text.get(line_start..).unwrap_or_default();
        let tab = rest.starts_with('\t')
            || indentation.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).any(|byte| byte == b'\t');
        let width = rest.chars().next().filter(|it| *it != '\n').map_or(0, char::len_utf8);
        self.sources
            .error(
                self.span(offset, offset + width),
                "yaml-syntax",
                format!("this is not YAML: {}", error.info()),
            )
            .with_help_if(tab.then(|| "indent with spaces: YAML allows no tab there".to_owned()))
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Outcome<Built> {
        if text.contains('\0') {
            let message = "a value may not contain the character NUL".to_owned();
            return Err(Box::new(self.sources.error(span, "nul-character", message)));
        }
        let plain = style == ScalarStyle::Plain;
        let kind = match tag {
            None if plain => self.resolve(text, span),
            None => Kind::String(text.to_owned()),
            Some(tag) => self.tagged(text, tag, span)?,
        };
        let key =
            if plain && tag.is_none() && text == "<<" { Key::Merge } else { Key::Text(text.to_owned()) };
        Ok(Built { node: Node::new(span, kind), depth: 0, size: 1, key })
    }

    /// An integer beyond 64 bits stays the text that it is printed as.
    fn resolve(&mut self, text: &str, span: Span) -> Kind {
        scalar::resolve(text).unwrap_or_else(|scalar::IntegerTooLarge| {
            let message = format!("the integer {text} does not fit 64 bits and is kept as text");
            let help = format!("write it in quotes: \"{text}\"");
            self.diagnostics.push(self.sources.warning(span, "integer-too-large", message).with_help(help));
            Kind::String(text.to_owned())
        })
    }

    fn tagged(&mut self, text: &str, tag: &Tag, span: Span) -> Outcome<Kind> {
        let resolved = match tag.core_suffix() {
            Some("str") => Some(Kind::String(text.to_owned())),
            Some(suffix) => {
                let kind = self.resolve(text, span);
                match (suffix, &kind) {
                    ("int", Kind::Int(_))
                    | ("bool", Kind::Bool(_))
                    | ("null", Kind::Null)
                    | ("float", Kind::Float(_)) => Some(kind),
                    ("float", Kind::Int(_)) => text.replace('_', "").parse().ok().map(Kind::Float),
                    _ => None,
                }
            }
            None => None,
        };
        resolved.ok_or_else(|| {
            let message = format!("the tag `{}` cannot be applied to this value", tag.original());
            let help = "remove the tag; quote the value where text is meant".to_owned();
            Box::new(self.sources.error(span, "yaml-tag", message).with_help(help))
        })
    }

    fn open(&mut self, start: usize, anchor: usize, contents: Contents) {
        self.frames.push(Frame { start, anchor, depth: 0, size: 1, contents });
    }

    fn close(&mut self, end: usize) -> Outcome<()> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let span = self.span(frame.start, end);
        let kind = match frame.contents {
            Contents::List(items) => Kind::List(items),
            Contents::Map { pairs, .. } => Kind::Map(self.map(pairs)?),
        };
        let built = Built {
            node: Node::new(span, kind),
            depth: frame.depth + 1,
            size: frame.size,
            key: Key::Collection,
        };
        self.finish(built, frame.anchor, 1)
    }

    /// `added`: how many nodes this makes beyond those counted before. A copy kept for an anchor counts like an alias.
    fn finish(&mut self, built: Built, anchor: usize, added: usize) -> Outcome<()> {
        let span = built.node.span;
        self.nodes += added + if anchor == 0 { 0 } else { built.size };
        if built.depth > MAX_DEPTH {
            let message = format!("the document is nested deeper than {MAX_DEPTH} levels");
            return Err(Box::new(self.sources.error(span, "yaml-limit", message)));
        }
        if self.nodes > MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} values, aliases expanded");
            return Err(Box::new(self.sources.error(span, "yaml-limit", message)));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let Some(parent) = self.frames.last_mut() else {
            self.root = Some(built.node);
            return Ok(());
        };
        parent.depth = parent.depth.max(built.depth);
        parent.size += built.size;
        match &mut parent.contents {
            Contents::List(items) => items.push(built.node),
            Contents::Map { pairs, pending } => match pending.take() {
                Some((key, key_span)) => pairs.push((key, key_span, built.node)),
                None => *pending = Some((built.key, span)),
            },
        }
        Ok(())
    }

    /// Merge keys first, in the order that lets the earlier of several win; then the mapping's own keys.
    fn map(&mut self, pairs: Vec<(Key, Span, Node)>) -> Outcome<Map> {
        let mut map = Map::default();
        for (_, key_span, value) in pairs.iter().filter(|(key, ..)| matches!(key, Key::Merge)) {
            let merged: Vec<&Node> = match &value.kind {
                Kind::List(items) => items.iter().rev().collect(),
                _ => vec![value],
            };
            for source in merged {
                let Kind::Map(entries) = &source.kind else {
                    let message =
                        format!("`<<` takes a mapping or a list of mappings, not {}", source.kind.describe());
                    return Err(Box::new(self.sources.error(*key_span, "yaml-merge", message)));
                };
                for (key, entry) in entries.iter() {
                    map.insert(key.to_owned(), entry.key_span, entry.value.clone());
                }
            }
        }
        let mut own: HashMap<String, Span> = HashMap::new();
        for (key, key_span, value) in pairs {
            let text = match key {
                Key::Merge => continue,
                Key::Text(text) => text,
                Key::Collection => {
                    let message = "a list or a mapping may not be a key".to_owned();
                    let help = "quote the key if it is meant as text".to_owned();
                    return Err(Box::new(self.sources.error(key_span, "yaml-key", message).with_help(help)));
                }
            };
            if let Some(first) = own.insert(text.clone(), key_span) {
                let message =
                    format!("the key `{text}` is given twice in one mapping; the last value counts");
                let help = format!("remove one of them; the first is on line {}", self.sources.line(first));
                self.diagnostics
                    .push(self.sources.warning(key_span, "duplicate-key", message).with_help(help));
            }
            map.insert(text, key_span, value);
        }
        Ok(map)
    }
}

/// What YAML 1.1 calls not printable, except surrogates, which UTF-8 has not.
fn is_forbidden(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{fffe}' | '\u{ffff}' => true,
        it => it.is_control(),
    }
}
