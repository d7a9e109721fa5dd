//! Is it up: HTTP and TCP probes and the readiness of each frontend
