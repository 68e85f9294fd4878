//! The commands of a client, on the public API of the client library.
//!
//! Each command opens a connection, makes its requests and closes it: nothing is kept between two
//! commands. Answers go to standard output, everything else to standard error.

mod answers;
mod call;
mod complete;
pub(crate) mod connection;
pub(crate) mod failure;
mod inspect;
mod list;
mod listen;
mod login;
pub(crate) mod output;
mod prompt;
mod read;
#[cfg(test)]
mod schemas;
mod secret;
mod server_files;
mod tool_arguments;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::Subcommand;
use corelane_client::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};

use connection::ConnectionArguments;
use failure::Failure;
use output::Output;

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ClientCommand {
    /// Call a tool of an MCP server, or perform any request.
    ///
    /// Exits with 0 if it is done, 1 if the tool or the server says no, 2 for arguments that the
    /// tool does not take, 3 if there is no server, 4 if credentials are missing, 5 if it takes too
    /// long, 130 after SIGINT, which cancels the call.
    Call(call::CallArguments),
    /// List the tools, resources, templates or prompts of an MCP server.
    List(list::ListArguments),
    /// Read a resource of an MCP server.
    Read(read::ReadArguments),
    /// Get a prompt of an MCP server.
    Prompt(prompt::PromptArguments),
    /// Complete an argument of a prompt or of a template of an MCP server.
    Complete(complete::CompleteArguments),
    /// Describe an MCP server, or one of its tools, and warn of its faults.
    Inspect(inspect::InspectArguments),
    /// Print the changes of an MCP server, one on each line. A connection that breaks is opened
    /// again.
    Listen(listen::ListenArguments),
    /// Log in to an MCP server over HTTP. The credentials are kept in ~/.config/corelane, and the
    /// other commands use them.
    Login(login::LoginArguments),
    /// Remove the credentials of an MCP server.
    Logout(login::LogoutArguments),
}

/// The names of the commands.
const NAMES: [&str; 9] = [
    "call", "list", "read", "prompt", "complete", "inspect", "listen", "login", "logout",
];

/// The command line, with a program after `--` as its target: `call -- PROGRAM ARGUMENTS` with the
/// words of `call` before the two hyphens is `call 'stdio:PROGRAM ARGUMENTS'` with them.
pub(crate) fn with_program(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let end = arguments.iter().position(|word| word == "--");
    let (Some(_), Some(end)) = (name_of(&arguments), end) else {
        return arguments;
    };
    let program = arguments.split_off(end);
    if program.len() > 1 {
        let words = program[1..].iter().map(|word| word.to_string_lossy());
        let target = format!("stdio:{}", shell_words::join(words));
        arguments.insert(2, target.into());
    }
    arguments
}

/// The name of the command, if it is one of these.
fn name_of(arguments: &[OsString]) -> Option<&'static str> {
    let name = arguments.get(1)?;
    NAMES.into_iter().find(|it| name == it)
}

/// Prints wrong arguments as the commands print their errors; whether it did so.
pub(crate) fn print_usage_fault(arguments: &[OsString], fault: &clap::Error) -> bool {
    let is_json = name_of(arguments).is_some() && arguments.iter().any(|word| word == "--json");
    if is_json {
        let text = fault.to_string();
        let text = text.trim_start_matches("error: ").lines().next();
        Failure::Usage(text.unwrap_or_default().to_owned()).print("corelane", true);
    }
    is_json
}

/// Runs a command.
pub(crate) fn run(command: &ClientCommand) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(perform(command));
            // A prompt may still wait for its line.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::Io(error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let name = format!("corelane {}", command.name());
            failure.print(&name, command.is_json());
            failure.exit_code().into()
        }
    }
}

async fn perform(command: &ClientCommand) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Io)?;
    command.check()?;
    let (Some(target), Some(connection)) = (command.target(), command.connection()) else {
        return command.perform_without_server();
    };
    let login = command.login().map(login::LoginArguments::credentials);
    let connecting = connection.connect(target, command.answers(), login.transpose()?);
    let client = until_interrupt(&mut interrupt, connecting).await?;
    let result = until_interrupt(&mut interrupt, command.perform(&client)).await;
    // A second SIGINT ends that too.
    let closing = async {
        client.close().await;
        Ok(())
    };
    let closed = until_interrupt(&mut interrupt, closing).await;
    result.and(closed)
}

/// The result of a future, which is dropped on SIGINT: a request under way is then cancelled.
async fn until_interrupt<T>(
    interrupt: &mut Signal,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = future => result,
        _ = interrupt.recv() => Err(Failure::Interrupted),
    }
}

impl ClientCommand {
    fn name(&self) -> &'static str {
        match self {
            ClientCommand::Call(_) => "call",
            ClientCommand::List(_) => "list",
            ClientCommand::Read(_) => "read",
            ClientCommand::Prompt(_) => "prompt",
            ClientCommand::Complete(_) => "complete",
            ClientCommand::Inspect(_) => "inspect",
            ClientCommand::Listen(_) => "listen",
            ClientCommand::Login(_) => "login",
            ClientCommand::Logout(_) => "logout",
        }
    }

    /// Checks the arguments that clap cannot.
    fn check(&self) -> Result<(), Failure> {
        match self {
            ClientCommand::List(it) => it.check(),
            _ => Ok(()),
        }
    }

    fn target(&self) -> Option<&str> {
        Some(match self {
            ClientCommand::Call(it) => &it.target,
            ClientCommand::List(it) => it.target(),
            ClientCommand::Read(it) => &it.target,
            ClientCommand::Prompt(it) => &it.target,
            ClientCommand::Complete(it) => &it.target,
            ClientCommand::Inspect(it) => &it.target,
            ClientCommand::Listen(it) => &it.target,
            ClientCommand::Login(it) => &it.target,
            ClientCommand::Logout(_) => return None,
        })
    }

    /// The arguments of the connection; none for a command without one.
    fn connection(&self) -> Option<&ConnectionArguments> {
        Some(match self {
            ClientCommand::Call(it) => &it.connection,
            ClientCommand::List(it) => &it.connection,
            ClientCommand::Read(it) => &it.connection,
            ClientCommand::Prompt(it) => &it.connection,
            ClientCommand::Complete(it) => &it.connection,
            ClientCommand::Inspect(it) => &it.connection,
            ClientCommand::Listen(it) => &it.connection,
            ClientCommand::Login(it) => &it.connection,
            ClientCommand::Logout(_) => return None,
        })
    }

    fn login(&self) -> Option<&login::LoginArguments> {
        match self {
            ClientCommand::Login(it) => Some(it),
            _ => None,
        }
    }

    fn is_json(&self) -> bool {
        match self {
            ClientCommand::Logout(it) => it.json,
            other => other.connection().is_some_and(|it| it.json),
        }
    }

    fn perform_without_server(&self) -> Result<(), Failure> {
        match self {
            ClientCommand::Logout(it) => login::log_out(it),
            _ => Ok(()),
        }
    }

    /// The answers to questions of the server, for commands that may have some.
    fn answers(&self) -> Option<&answers::AnswerArguments> {
        match self {
            ClientCommand::Call(it) => Some(&it.answers),
            ClientCommand::Read(it) => Some(&it.answers),
            ClientCommand::Prompt(it) => Some(&it.answers),
            _ => None,
        }
    }

    async fn perform(&self, client: &Client) -> Result<(), Failure> {
        let output = Output::new();
        match self {
            ClientCommand::Call(it) => call::perform(it, client, &output).await?,
            ClientCommand::List(it) => list::perform(it, client, &output).await?,
            ClientCommand::Read(it) => read::perform(it, client, &output).await?,
            ClientCommand::Prompt(it) => prompt::perform(it, client, &output).await?,
            ClientCommand::Complete(it) => complete::perform(it, client, &output).await?,
            ClientCommand::Inspect(it) => inspect::perform(it, client, &output).await?,
            ClientCommand::Listen(it) => listen::perform(it, client, &output).await?,
            ClientCommand::Login(it) => login::perform(it, &output)?,
            ClientCommand::Logout(_) => {}
        }
        match self.answers().is_some_and(|answers| answers.has_declined()) {
            true => Err(Failure::Declined),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_program;

    #[test]
    fn a_program_after_two_hyphens_is_the_target() {
        for (line, expected) in [
            ("corelane call echo -- a b", "corelane call|stdio:a b|echo"),
            ("corelane list --json -- a", "corelane list|stdio:a|--json"),
            (
                "corelane list tools -- a --json -- b",
                "corelane list|stdio:a --json -- b|tools",
            ),
            ("corelane call echo", "corelane call echo"),
            ("corelane call echo --", "corelane call echo"),
            ("corelane serve -- a", "corelane serve -- a"),
        ] {
            let words = line.split(' ').map(Into::into).collect();
            let expected: Vec<&str> = match expected.split_once('|') {
                None => expected.split(' ').collect(),
                Some((start, end)) => {
                    let (target, end) = end.split_once('|').unwrap_or((end, ""));
                    let end = end.split(' ').filter(|word| !word.is_empty());
                    start.split(' ').chain([target]).chain(end).collect()
                }
            };
            assert_eq!(with_program(words), expected, "{line}");
        }
    }
}
