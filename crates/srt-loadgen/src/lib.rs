//! A load generator for OpenAI-compatible servers that measures at the socket
