//! [`Diagnostic`]: what is wrong, where, and what to type instead.

use std::{ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::source::SourceText;

/// Whether a diagnostic stops the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing may be started.
    Error,
    /// Worth knowing; the work goes on.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem of an input. Serialises to `severity`, `code`, `message`, `file`, `line`, `column`, `help`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the work.
    pub severity: Severity,
    /// Stable name of the kind of problem.
    pub code: &'static str,
    /// One sentence without a final period.
    pub message: String,
    /// Path of the file.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// Bytes of the file that are underlined.
    pub span: Range<usize>,
    /// What to do.
    pub help: Option<String>,
    source: Arc<SourceText>,
}

impl Diagnostic {
    pub(crate) fn new(
        severity: Severity,
        code: &'static str,
        message: String,
        source: Arc<SourceText>,
        span: Range<usize>,
        (line, column): (u32, u32),
    ) -> Self {
        Self { severity, code, message, file: source.path.clone(), line, column, span, help: None, source }
    }

    /// The diagnostic with advice.
    #[must_use]
    pub fn with_help(mut self, help: String) -> Self {
        self.help = Some(help);
        self
    }

    /// The diagnostic with advice, where there is any.
    #[must_use]
    pub fn with_help_if(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.with_help(help),
            None => self,
        }
    }

    /// Whether it stops the work.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Text for people: the message, the line with an underline, and the advice. Ends without a line break.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (first_line, text, span) = self.excerpt();
        let mut group: Group<'_> = level.primary_title(self.message.as_str()).id(self.code).element(
            Snippet::source(text)
                .path(self.file.as_str())
                .line_start(first_line)
                .annotation(AnnotationKind::Primary.span(span)),
        );
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// The underlined line alone: rendering stays proportional to the line, however long the file is.
    fn excerpt(&self) -> (usize, &str, Range<usize>) {
        let text = &self.source.text;
        let start = text[..self.span.start].rfind('\n').map_or(0, |index| index + 1);
        let end = text[self.span.end..].find('\n').map_or(text.len(), |index| self.span.end + index);
        let end = start + text[start..end].trim_end_matches('\r').len().max(self.span.end - start);
        (self.line as usize, &text[start..end], self.span.start - start..self.span.end - start)
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Diagnostic", 7)?;
        object.serialize_field("severity", self.severity.as_str())?;
        object.serialize_field("code", self.code)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("file", &self.file)?;
        object.serialize_field("line", &self.line)?;
        object.serialize_field("column", &self.column)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}

/// How many letters must be added, dropped, replaced, or swapped to make one word of the other.
pub fn edit_distance(one: &str, other: &str) -> usize {
    strsim::damerau_levenshtein(one, other)
}

/// The candidate that `word` was most likely meant to be; `None` when none is close.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distances are quadratic in length, and no key of ours is that long.
    if word.len() > 100 {
        return None;
    }
    let normal = word.to_ascii_lowercase().replace('-', "_");
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&normal, &candidate.to_ascii_lowercase().replace('-', "_")),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
