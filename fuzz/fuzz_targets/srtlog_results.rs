//! Any file offered as a benchmark result is read or refused, without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use srtlog::{BENCHMARK_PARSERS, benchmark_parser};

fuzz_target!(|file: &[u8]| {
    for name in BENCHMARK_PARSERS {
        let parser = benchmark_parser(name).expect("every listed name is registered");
        if let Ok(results) = parser.read(&mut &file[..]) {
            assert!(!results.is_empty());
        }
    }
});
