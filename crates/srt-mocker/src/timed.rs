//! A server that writes tokens on a fixed schedule and records when it wrote them.
