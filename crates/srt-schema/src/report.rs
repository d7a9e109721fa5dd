//! [`Report`]: diagnostics of the stages that work on the tree.

use srt_yaml::{Diagnostic, Sources, Span};

/// Collects diagnostics.
pub(crate) struct Report<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(sources: &'a Sources) -> Self {
        Self { sources, diagnostics: Vec::new() }
    }

    pub(crate) fn error(&mut self, span: Span, code: &'static str, message: String, help: Option<String>) {
        self.diagnostics.push(self.sources.error(span, code, message).with_help_if(help));
    }

    pub(crate) fn warning(&mut self, span: Span, code: &'static str, message: String, help: Option<String>) {
        self.diagnostics.push(self.sources.warning(span, code, message).with_help_if(help));
    }
}
