//! The mock servers over real sockets on loopback.

mod engine;
mod faults;
mod harness;
mod router;
mod timed;
