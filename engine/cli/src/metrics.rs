//! `corelane metrics`: the catalogue of metrics, for people and for the documents.

use std::process::ExitCode;

use clap::Args;
use corelane::meter::catalogue::{FamilyType, families, markdown};

use crate::client::output::print;

/// The arguments of `corelane metrics`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct MetricsArguments {
    /// Prints a page of Markdown, as docs/metrics.md is.
    #[arg(long)]
    markdown: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: MetricsArguments) -> ExitCode {
    let text = match arguments.markdown {
        true => markdown(),
        false => list(),
    };
    print(&text)
}

/// A line for each family: its name as it is scraped, its type, its description.
fn list() -> String {
    let lines = families().map(|family| {
        let suffix = match family.kind {
            FamilyType::Counter => "_total",
            FamilyType::Gauge | FamilyType::Histogram => "",
        };
        let (name, kind) = (format!("{}{suffix}", family.name), family.kind.as_str());
        format!("{name:<45} {kind:<9} {}\n", family.help)
    });
    lines.collect()
}
