//! Any log, in pieces of any size, reads without a panic and as it reads in one piece.

#![no_main]

use libfuzzer_sys::fuzz_target;
use srtlog::{NodeMetrics, node_parser};

fuzz_target!(|log: &[u8]| {
    let read = |size: usize| {
        let mut parser = node_parser("vllm").expect("the engine is registered");
        let mut metrics = NodeMetrics::default();
        log.chunks(size).for_each(|piece| parser.push(piece, &mut metrics));
        parser.finish(&mut metrics);
        (metrics, parser.coverage().clone())
    };
    // The first byte chooses where the log is split, so that the fuzzer can aim.
    let size = log.first().map_or(1, |byte| usize::from(*byte) + 1);
    assert_eq!(read(size), read(log.len().max(1)));
});
