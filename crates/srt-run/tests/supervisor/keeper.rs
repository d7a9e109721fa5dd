//! A keeper by itself.
