//! The `corelane` binary: an allocator and the commands, one file for each.

mod access_file;
mod admin;
mod audit;
mod bounded_file;
mod check;
mod client;
mod completions;
mod demo;
mod init;
mod launch;
mod man;
mod memory;
mod metrics;
mod pins;
mod policy;
mod probe;
mod profile;
mod rules;
mod serve;
mod token;
mod tune;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Handlers allocate in small pieces and on every core: with the system's allocator they would wait
/// for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A thread-per-core MCP server.
#[derive(Debug, Parser)]
#[command(name = "corelane", version, about)]
struct Cli {
    /// The command.
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the demo catalog over Streamable HTTP or standard input and output, in all revisions.
    Serve(serve::DemoArguments),
    /// Write the profile, the configuration and the key of a new server to a folder. Exits with 0,
    /// 1 if a file is there already, 74 if it cannot be written.
    Init(init::InitArguments),
    /// Examine this host for a server, and print each fault with the command that fixes it. Exits
    /// with 0 if there are none, 1 if there are, 2 if the host cannot be examined.
    Check(check::CheckArguments),
    /// Measure this host with the real server, and write a tuning profile of the values that are
    /// better. It takes corelane-load, two cores and some minutes without other load.
    Tune(tune::TuneArguments),
    /// Show, explain, compare or check tuning profiles.
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Explain why an access token is valid or not, or make an API key.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Check a policy, or explain its decision about an entry.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Verify the files of an audit log, or print its head or its key.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Probe a server as a client. Exits with 0 if it answers, 1 if it fails, 3 if it cannot be
    /// reached, 4 if it takes longer than --max.
    Probe(probe::ProbeArguments),
    /// List the metrics of a server, with their types and labels.
    Metrics(metrics::MetricsArguments),
    /// Print the alerts for Prometheus or the dashboard for Grafana.
    Rules(rules::RulesArguments),
    /// Write the pins of a catalog, or check a catalog against them.
    #[command(subcommand)]
    Pins(pins::PinsCommand),
    /// Print a script that completes the command line in a shell.
    Completions(completions::CompletionsArguments),
    /// Write the manual pages of all commands to a folder.
    Man(man::ManArguments),
    /// Start a program that is an upstream. The server does that.
    #[command(hide = true)]
    Launch(launch::LaunchArguments),
    #[command(flatten)]
    Admin(admin::AdminCommand),
    #[command(flatten)]
    Client(client::ClientCommand),
}

fn main() -> ExitCode {
    let command = parse().command;
    if let Command::Launch(arguments) = &command {
        return launch::run(arguments);
    }
    memory::give_back_when_freed();
    match command {
        Command::Serve(arguments) => corelane::exit_code("corelane", serve::run(arguments)),
        Command::Init(arguments) => init::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Profile(command) => profile::run(&command),
        Command::Token(command) => token::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Metrics(arguments) => metrics::run(arguments),
        Command::Rules(arguments) => rules::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Pins(command) => pins::run(&command),
        Command::Launch(arguments) => launch::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, Cli::command()),
        Command::Man(arguments) => man::run(&arguments, Cli::command()),
        Command::Admin(command) => admin::run(&command),
        Command::Client(command) => client::run(&command),
    }
}

/// Wrong arguments of `corelane audit` and `corelane token` have an exit code of their own, which
/// says that there is no answer: 2 of the former says that a log is cut.
fn parse() -> Cli {
    let words = client::with_program(std::env::args_os().collect());
    Cli::try_parse_from(&words).unwrap_or_else(|error| {
        if error.use_stderr() && client::print_usage_fault(&words, &error) {
            std::process::exit(error.exit_code());
        }
        let code = match words.get(1).and_then(|word| word.to_str()) {
            Some("audit") => audit::CANNOT_RUN,
            Some("token") => token::CANNOT_RUN,
            _ => error.exit(),
        };
        if error.use_stderr() {
            let _ = error.print();
            std::process::exit(code.into());
        }
        error.exit()
    })
}
