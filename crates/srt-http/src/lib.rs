//! One HTTP connection at a time, with a timestamp per frame, and a server-sent-events decoder
