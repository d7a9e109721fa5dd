//! `srtctl bench`: load a server and measure it.
