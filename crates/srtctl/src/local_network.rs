//! Which loopback network a local run uses. Runs at the same time on one machine must not meet on a port.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

use srt_plan::LOCAL_NETWORK;

/// Held open on the first address of a network for as long as a run uses it. The kernel gives it back, in whatever
/// way the run ends.
const CLAIM_PORT: u16 = 47_999;

/// A network 127.0.NUMBER.0 that is this run's.
pub(crate) struct LocalNetwork {
    /// Third number of its addresses.
    pub(crate) number: u8,
    _claim: TcpListener,
}

impl LocalNetwork {
    /// Takes the first network that no other run has.
    pub(crate) fn claim() -> io::Result<Self> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for number in LOCAL_NETWORK..u8::MAX {
            match TcpListener::bind((Ipv4Addr::new(127, 0, number, 1), CLAIM_PORT)) {
                Ok(claim) => return Ok(Self { number, _claim: claim }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_have_two_networks() {
        let first = LocalNetwork::claim().expect("there are enough networks");
        let second = LocalNetwork::claim().expect("there are enough networks");
        assert_ne!(first.number, second.number);
    }
}
