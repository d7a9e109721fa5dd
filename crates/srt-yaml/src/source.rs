//! [`Sources`]: the texts of one reading, and [`Span`]: a place in one of them.

use std::{ops::Range, sync::Arc};

use crate::diagnostic::{Diagnostic, Severity};

/// A text and the name it is shown under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path as the user gave it, or a name such as `--set`.
    pub path: String,
    /// Contents.
    pub text: String,
}

impl Source {
    /// Takes the bytes of a file; bytes that are not UTF-8 are a diagnostic at their line.
    pub fn from_bytes(path: String, bytes: Vec<u8>) -> Result<Self, Box<Diagnostic>> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => {
                let start = error.utf8_error().valid_up_to();
                let readable = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let mut sources = Sources::default();
                let file = sources.add(&Self { path, text: readable });
                Err(Box::new(
                    sources
                        .error(
                            Span::new(file, start, start),
                            "not-utf8",
                            "the file is not UTF-8 text".to_owned(),
                        )
                        .with_help("save the file as UTF-8".to_owned()),
                ))
            }
        }
    }
}

/// One of the texts in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId(u16);

/// Bytes `start..end` of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

impl Span {
    /// A span; positions beyond 4 GiB are clamped.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let clamp = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
        Self { file, start: clamp(start), end: clamp(end.max(start)) }
    }

    /// The bytes.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A text with the start of each line, shared with the diagnostics that show it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceText {
    pub(crate) path: String,
    pub(crate) text: String,
    line_starts: Vec<usize>,
}

impl SourceText {
    /// Line and column of a byte, both counted from 1; columns count characters.
    fn position(&self, offset: usize) -> (u32, u32) {
        let offset = floor_char_boundary(&self.text, offset);
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let column = self.text[self.line_starts[line - 1]..offset].chars().count() + 1;
        let clamp = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (clamp(line), clamp(column))
    }
}

/// The texts of one reading: the recipe, the cluster file, and the `--set` arguments.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Arc<SourceText>>,
}

impl Sources {
    /// Adds a text.
    ///
    /// # Panics
    /// With more than 65,535 texts; a reading has a handful.
    pub fn add(&mut self, source: &Source) -> FileId {
        let id = u16::try_from(self.files.len()).expect("a reading has a handful of files");
        let line_starts =
            std::iter::once(0).chain(source.text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        self.files.push(Arc::new(SourceText {
            path: source.path.clone(),
            text: source.text.clone(),
            line_starts,
        }));
        FileId(id)
    }

    /// The whole text of a file.
    pub fn text(&self, file: FileId) -> &str {
        &self.files[usize::from(file.0)].text
    }

    /// The path of a file.
    pub fn path(&self, file: FileId) -> &str {
        &self.files[usize::from(file.0)].path
    }

    /// The text of a span, as written.
    pub fn slice(&self, span: Span) -> &str {
        let text = self.text(span.file);
        let start = floor_char_boundary(text, span.start as usize);
        let end = floor_char_boundary(text, span.end as usize);
        &text[start..end.max(start)]
    }

    /// Line of the first byte of a span, counted from 1.
    pub fn line(&self, span: Span) -> u32 {
        self.files[usize::from(span.file.0)].position(span.start as usize).0
    }

    /// An error at a place.
    pub fn error(&self, span: Span, code: &'static str, message: String) -> Diagnostic {
        self.diagnostic(Severity::Error, span, code, message)
    }

    /// A warning at a place.
    pub fn warning(&self, span: Span, code: &'static str, message: String) -> Diagnostic {
        self.diagnostic(Severity::Warning, span, code, message)
    }

    fn diagnostic(&self, severity: Severity, span: Span, code: &'static str, message: String) -> Diagnostic {
        let source = Arc::clone(&self.files[usize::from(span.file.0)]);
        let (line, column) = source.position(span.start as usize);
        let range = first_line(&source.text, span.range());
        Diagnostic::new(severity, code, message, source, range, (line, column))
    }
}

/// A section's span may run over many lines; what is underlined is its first.
fn first_line(text: &str, range: Range<usize>) -> Range<usize> {
    let start = floor_char_boundary(text, range.start);
    let end = floor_char_boundary(text, range.end).max(start);
    let end = text[start..end].find('\n').map_or(end, |length| start + length);
    let end = start + text[start..end].trim_end().len();
    start..end
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    text.floor_char_boundary(offset.min(text.len()))
}
