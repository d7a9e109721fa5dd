//! The worker logs of a run, one by one, for tools that want more than a rollup.

use std::{io, path::Path};

use crate::{
    coverage::Coverage,
    event::{Event, Sink},
    node::{NODE_PARSERS, node_parser},
    read,
    run_dir::{RunDir, WorkerLog},
};

/// Bytes of a log from which its engine is told.
const HEAD: u64 = 1 << 20;

/// The logs of a run's workers, sorted by node, role, and worker. Rotated and compressed files belong to their log.
pub fn worker_logs(run: &Path) -> io::Result<Vec<WorkerLog>> {
    RunDir::open(run)?.worker_logs()
}

impl WorkerLog {
    /// The engine whose lines the log holds: `backend` if there is a reader of that name, else the one whose reader
    /// understands most of the first megabyte. A mock engine prints the lines of a real one.
    pub fn engine(&self, backend: Option<&str>) -> &'static str {
        let named = backend.and_then(|backend| NODE_PARSERS.iter().copied().find(|name| *name == backend));
        named.unwrap_or_else(|| self.guess_engine())
    }

    fn guess_engine(&self) -> &'static str {
        let mut best = (NODE_PARSERS[0], 0);
        for name in NODE_PARSERS.iter().copied() {
            let mut understood = 0;
            for path in &self.files {
                let mut parser = node_parser(name).expect("the name comes from the registry");
                let Ok(head) = read::bytes(path, HEAD) else { continue };
                parser.push(&head, &mut |_: &Event<'_>| {});
                understood += parser.coverage().parsed;
            }
            if understood > best.1 {
                best = (name, understood);
            }
        }
        best.0
    }

    /// Reads one file of the log as `engine` writes it. What was read before an error, as of a truncated archive, has
    /// gone to `sink`.
    pub fn read_file(&self, file: &Path, engine: &str, sink: &mut dyn Sink) -> (Coverage, io::Result<()>) {
        let Some(mut parser) = node_parser(engine) else {
            let error =
                io::Error::new(io::ErrorKind::InvalidInput, format!("no reader for the logs of `{engine}`"));
            return (Coverage::default(), Err(error));
        };
        let outcome = read::for_each_chunk(file, |chunk| parser.push(chunk, sink));
        parser.finish(sink);
        (parser.coverage().clone(), outcome)
    }
}
