//! `corelane-load`: drives an MCP server over HTTP and says what it saw.
//!
//! One control thread and some workers. A worker is built like a shard of the server: pinned, with
//! a ring of its own, and it shares nothing but a board of atomic cells.
//!
//! | module | what is in it |
//! |---|---|
//! | `cli`, `command` | the command line; what each command does, from start to report |
//! | `plan`, `run`, `worker` | what is to be done; the control thread's side; one thread's side |
//! | `pace`, `mix`, `script` | when requests are due; which ones; their bytes |
//! | `client`, `response`, `answer` | one connection; HTTP answers; whether they are right |
//! | `tally`, `report`, `compare` | counts and times; what a run found; two sides of runs |
//! | `process`, `target`, `error` | /proc; URLs; exit codes |
//!
//! Everything but `worker`, `run`, `process` and `command` takes bytes and times as arguments and
//! is tested without a socket.

pub mod answer;
pub mod cli;
pub mod client;
pub mod command;
pub mod compare;
pub mod error;
pub mod mix;
pub mod pace;
mod plan;
pub mod process;
pub mod report;
pub mod response;
mod run;
pub mod script;
pub mod tally;
pub mod target;
mod worker;
