//! The client commands as processes: their output, their exit codes, and hostile servers.

#[path = "client_commands/failures.rs"]
mod failures;
#[path = "client_commands/hostile.rs"]
mod hostile;
#[path = "client_commands/login.rs"]
mod login;
#[path = "client_commands/outputs.rs"]
mod outputs;
#[path = "client_commands/probe.rs"]
mod probe;
#[path = "client_commands/process.rs"]
mod process;
#[path = "client_commands/schemas.rs"]
mod schemas;
#[path = "client_commands/scripted.rs"]
mod scripted;
#[path = "client_commands/snapshots.rs"]
mod snapshots;
#[path = "client_commands/tasks.rs"]
mod tasks;
#[path = "client_commands/terminal.rs"]
mod terminal;
