//! The supervisor: executes a plan through a launcher, and leaves a record
