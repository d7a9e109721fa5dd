//! What a benchmark runs and what must come out of it
