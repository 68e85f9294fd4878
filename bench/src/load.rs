//! `corelane-load`: drives an MCP server over HTTP, WebSocket or lines, with or without TLS, and
//! reports latency and throughput.
//!
//! One control thread and some workers. A worker is built like a shard of the server: pinned, with
//! a ring of its own, and it shares nothing but a few atomic counters.
//!
//! | module | contents |
//! |---|---|
//! | `cli`, `command` | the command line; each command from start to report |
//! | `plan`, `run`, `worker` | the plan of a run; the control thread; one worker thread |
//! | `pace`, `mix`, `script` | when requests are due; which ones; their bytes |
//! | `client`, `tls` | one connection; its records |
//! | `connection_fault`, `answer` | why a connection ends; the check of each answer |
//! | `tally`, `report`, `compare` | counts and times; the report of a run; comparisons |
//! | `process`, `target`, `error` | /proc; URLs; exit codes |
//!
//! Everything but `worker`, `run`, `process` and `command` takes bytes and times as arguments and
//! is tested without a socket.

pub mod answer;
pub mod cli;
pub mod client;
pub mod command;
pub mod compare;
pub mod connection_fault;
pub mod error;
pub mod mix;
pub mod pace;
mod plan;
pub mod process;
pub mod report;
mod run;
pub mod script;
pub mod socket_reader;
pub mod tally;
pub mod target;
pub mod tls;
mod worker;
