//! `corelane rules`: the alerts for Prometheus and the dashboard for Grafana of this version.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::client::output::print;

/// The arguments of `corelane rules`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  corelane rules > /etc/prometheus/corelane.rules.yml")]
pub(crate) struct RulesArguments {
    /// The program that reads the file.
    #[arg(value_enum, default_value = "prometheus")]
    consumer: Consumer,
}

/// The program that reads the file.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Consumer {
    /// Alerts and objectives, for `rule_files`.
    Prometheus,
    /// A dashboard, to be imported.
    Grafana,
}

/// Runs the command.
pub(crate) fn run(arguments: &RulesArguments) -> ExitCode {
    let text = match arguments.consumer {
        Consumer::Prometheus => include_str!("../../../deploy/prometheus/corelane.rules.yml"),
        Consumer::Grafana => include_str!("../../../deploy/grafana/corelane.json"),
    };
    print(text)
}
