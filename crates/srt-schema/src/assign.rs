//! `--set KEY=VALUE` and `--unset KEY`: changes of the tree from the command line.

use srt_yaml::{Kind, Map, Node, Source, Sources, Span};

use crate::report::Report;

/// A step of a dotted path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
}

/// One `--set` or `--unset`.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    path: Vec<Segment>,
    key_span: Span,
    /// `None`: remove.
    value: Option<Node>,
}

/// Reads the arguments; each becomes a source of its own, so that complaints can underline it.
pub(crate) fn parse_assignments(
    sources: &mut Sources,
    set: &[String],
    unset: &[String],
) -> (Vec<Assignment>, Vec<srt_yaml::Diagnostic>) {
    let mut assignments = Vec::new();
    let mut diagnostics = Vec::new();
    for argument in set {
        let file = sources.add(&Source { path: "--set".to_owned(), text: argument.clone() });
        let whole = Span::new(file, 0, argument.len());
        let Some(end) = end_of_key(argument).filter(|end| argument[*end..].starts_with('=')) else {
            let help = "write --set benchmark.isl=1024".to_owned();
            let message = "`--set` takes KEY=VALUE".to_owned();
            diagnostics.push(sources.error(whole, "bad-assignment", message).with_help(help));
            continue;
        };
        let key_span = Span::new(file, 0, end);
        let path = match parse_path(&argument[..end]) {
            Ok(path) => path,
            Err(message) => {
                diagnostics.push(sources.error(key_span, "bad-assignment", message));
                continue;
            }
        };
        let mut alone = Sources::default();
        let text = argument[end + 1..].to_owned();
        let value_file = alone.add(&Source { path: "--set".to_owned(), text });
        if let Some(mut value) = srt_yaml::parse(&alone, value_file, &mut diagnostics) {
            move_spans(&mut value, &|span| {
                let range = span.range();
                Span::new(file, range.start + end + 1, range.end + end + 1)
            });
            assignments.push(Assignment { path, key_span, value: Some(value) });
        }
    }
    for argument in unset {
        let file = sources.add(&Source { path: "--unset".to_owned(), text: argument.clone() });
        let key_span = Span::new(file, 0, argument.len());
        match parse_path(argument) {
            Ok(path) => assignments.push(Assignment { path, key_span, value: None }),
            Err(message) => diagnostics.push(sources.error(key_span, "bad-assignment", message)),
        }
    }
    (assignments, diagnostics)
}

fn move_spans(node: &mut Node, to: &impl Fn(Span) -> Span) {
    node.span = to(node.span);
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| move_spans(item, to)),
        Kind::Map(map) => {
            let mut moved = Map::default();
            for (key, entry) in map.iter() {
                let mut value = entry.value.clone();
                move_spans(&mut value, to);
                moved.insert(key.to_owned(), to(entry.key_span), value);
            }
            *map = moved;
        }
        _ => {}
    }
}

/// Byte of the `=` that ends the key: the first outside quotes.
fn end_of_key(text: &str) -> Option<usize> {
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (None, '=') => return Some(index),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), it) if it == open => quote = None,
            _ => {}
        }
    }
    None
}

/// `a.b[2]."c.d"` → a, b, 2, c.d
fn parse_path(text: &str) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quote) = rest.chars().next().filter(|it| matches!(it, '"' | '\'')) {
            let body = &rest[1..];
            let Some(end) = body.find(quote) else {
                return Err(format!("the quote in `{text}` is not closed"));
            };
            segments.push(Segment::Key(body[..end].to_owned()));
            rest = &body[end + 1..];
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("`{text}` has an empty key"));
            }
            segments.push(Segment::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        while let Some(body) = rest.strip_prefix('[') {
            let Some((index, after)) = body.split_once(']') else {
                return Err(format!("`[` in `{text}` is not closed"));
            };
            let index = index
                .parse()
                .map_err(|_| format!("`[{index}]` in `{text}` is not a position, such as `[0]`"))?;
            segments.push(Segment::Index(index));
            rest = after;
        }
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(segments),
            None => return Err(format!("`.` is missing before `{rest}` in `{text}`")),
        }
    }
}

impl Assignment {
    /// Changes the tree. `Ok(false)`: there was nothing to remove.
    pub(crate) fn apply(&self, root: &mut Node, report: &mut Report<'_>) -> bool {
        match &self.value {
            Some(value) => {
                self.set(root, value, report);
                true
            }
            None => self.unset(root),
        }
    }

    /// Complains that there was nothing to remove.
    pub(crate) fn report_nothing_removed(&self, report: &mut Report<'_>) {
        let message = format!("there is no `{}` to remove", report.sources.slice(self.key_span));
        report.error(self.key_span, "nothing-to-unset", message, None);
    }

    fn set(&self, root: &mut Node, value: &Node, report: &mut Report<'_>) {
        let mut node = root;
        for segment in &self.path {
            // Null is an empty section to whoever sets a key in it.
            if node.is_null() && matches!(segment, Segment::Key(_)) {
                node.kind = Kind::Map(Map::default());
            }
            let kind = node.kind.describe();
            let next = match (segment, &mut node.kind) {
                (Segment::Key(key), Kind::Map(map)) => {
                    if map.get(key).is_none() {
                        map.insert(key.clone(), self.key_span, Node::new(self.key_span, Kind::Null));
                    }
                    map.get_mut(key)
                }
                (Segment::Index(index), Kind::List(items)) => {
                    let length = items.len();
                    let item = items.get_mut(*index);
                    if item.is_none() {
                        let message = format!("there is no item [{index}]: the list has {length}");
                        report.error(self.key_span, "bad-assignment", message, None);
                    }
                    item
                }
                (Segment::Key(key), _) => {
                    let message = format!("`{key}` cannot be set in {kind}");
                    report.error(self.key_span, "bad-assignment", message, None);
                    None
                }
                (Segment::Index(index), _) => {
                    let message = format!("[{index}] cannot be set in {kind}: it is no list");
                    report.error(self.key_span, "bad-assignment", message, None);
                    None
                }
            };
            let Some(next) = next else { return };
            node = next;
        }
        *node = value.clone();
    }

    fn unset(&self, root: &mut Node) -> bool {
        let Some((last, above)) = self.path.split_last() else { return false };
        let parent = above.iter().try_fold(root, |node, segment| match (segment, &mut node.kind) {
            (Segment::Key(key), Kind::Map(map)) => map.get_mut(key),
            (Segment::Index(index), Kind::List(items)) => items.get_mut(*index),
            _ => None,
        });
        match (last, parent.map(|node| &mut node.kind)) {
            (Segment::Key(key), Some(Kind::Map(map))) => map.remove(key).is_some(),
            (Segment::Index(index), Some(Kind::List(items))) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        }
    }
}
