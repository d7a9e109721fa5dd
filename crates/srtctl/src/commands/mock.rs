//! `srtctl mock`: stand-ins for engines and routers.
