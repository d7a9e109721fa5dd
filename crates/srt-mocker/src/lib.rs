//! Mock inference engine and router with real HTTP, real log lines, and faults on request
