//! Readers of worker logs: the [`NodeParser`] trait and its registry.

use crate::{coverage::Coverage, event::Sink, lines::Lines, sglang::Sglang, trtllm::Trtllm, vllm::Vllm};

/// Reads the log of one worker, pushed in pieces of any size.
pub trait NodeParser: Send {
    /// The engine whose lines are read.
    fn name(&self) -> &'static str;

    /// Reads the next bytes of the log. Where one piece ends and the next begins makes no difference.
    fn push(&mut self, chunk: &[u8], sink: &mut dyn Sink);

    /// Reads what is left when the log ended in the middle of a line.
    fn finish(&mut self, sink: &mut dyn Sink);

    /// What was understood so far.
    fn coverage(&self) -> &Coverage;
}

/// Names that [`node_parser`] knows.
pub const NODE_PARSERS: &[&str] = &["sglang", "trtllm", "vllm"];

/// A fresh reader for the worker logs of an engine, by the name that recipes use for it.
pub fn node_parser(name: &str) -> Option<Box<dyn NodeParser>> {
    Some(match name {
        "sglang" => Box::new(Reader::new(Sglang::new())),
        "trtllm" => Box::new(Reader::new(Trtllm::new())),
        "vllm" => Box::new(Reader::new(Vllm::new())),
        _ => return None,
    })
}

/// What one engine's lines look like.
pub(crate) trait Dialect: Send {
    const NAME: &'static str;

    fn read_line(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink);

    /// Reads what was held back because its line was not complete.
    fn finish(&mut self, _coverage: &mut Coverage, _sink: &mut dyn Sink) {}
}

/// Lines plus a dialect.
struct Reader<D> {
    lines: Lines,
    coverage: Coverage,
    dialect: D,
}

impl<D: Dialect> Reader<D> {
    fn new(dialect: D) -> Reader<D> {
        Reader { lines: Lines::default(), coverage: Coverage::default(), dialect }
    }
}

impl<D: Dialect> NodeParser for Reader<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn push(&mut self, chunk: &[u8], sink: &mut dyn Sink) {
        let Reader { lines, coverage, dialect } = self;
        coverage.bytes += chunk.len() as u64;
        lines.push(chunk, |line| {
            coverage.lines += 1;
            dialect.read_line(line, coverage, sink);
        });
        coverage.cut_lines = lines.cut;
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        let Reader { lines, coverage, dialect } = self;
        lines.finish(|line| {
            coverage.lines += 1;
            dialect.read_line(line, coverage, sink);
        });
        coverage.cut_lines = lines.cut;
        dialect.finish(coverage, sink);
    }

    fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}
