//! The REST API: its types, shared by server and command line.

pub mod types;
