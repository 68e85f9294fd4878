//! `corelane-load` from outside: real processes, real sockets, known servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "load/commands.rs"]
mod commands;
#[path = "load/delays.rs"]
mod delays;
#[path = "load/failures.rs"]
mod failures;
#[path = "load/program.rs"]
mod program;
#[path = "load/servers.rs"]
mod servers;
