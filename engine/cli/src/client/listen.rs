//! `corelane listen`: prints the changes of a server.

use std::time::Duration;

use clap::Args;
use corelane_client::{Change, Changes, Client, Filter};
use schemars::JsonSchema;
use serde::Serialize;

use super::connection::ConnectionArguments;
use super::failure::{Failure, print_error};
use super::output::Output;

/// The arguments of `corelane listen`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListenArguments {
    /// The server: a URL, 'stdio:PROGRAM ARGUMENTS', unix:PATH, tcp:HOST:PORT or @NAME; or put --
    /// and the program at the end instead.
    pub(crate) target: String,
    /// Print changes of this resource too; repeatable.
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// End after this time. With --count, fewer changes are then a failure.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// End after so many changes.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// A change, with `--json`.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeObject {
    /// The list that changed, `resource` for a single one, or `gap`: changes may be missed.
    #[schemars(extend("enum" = ["tools", "prompts", "resources", "resource", "gap"]))]
    change: &'static str,
    /// The resource that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
}

/// Runs the command.
pub(crate) async fn perform(
    command: &ListenArguments,
    client: &Client,
    output: &Output,
) -> Result<(), Failure> {
    let mut filter = Filter::all();
    for uri in &command.resources {
        filter = filter.resource(uri);
    }
    let changes = client.listen(filter).await?;
    for declined in changes.declined() {
        print_error(&format!(
            "corelane listen: the server has no changes of {declined}"
        ));
    }
    let printing = print(command, changes, output);
    let Some(duration) = command.duration else {
        return printing.await;
    };
    match (
        tokio::time::timeout(duration, printing).await,
        command.count,
    ) {
        (Ok(result), _) => result,
        (Err(_), None) => Ok(()),
        (Err(_), Some(count)) => {
            let time = humantime::format_duration(duration);
            let fault = format!("fewer than {count} changes came in {time}");
            Err(Failure::Deadline(fault))
        }
    }
}

async fn print(
    command: &ListenArguments,
    mut changes: Changes,
    output: &Output,
) -> Result<(), Failure> {
    let mut left = command.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(change) = changes.next().await else {
            let fault = "the server ended the subscription".to_owned();
            return Err(Failure::Refused(fault));
        };
        let (name, uri) = match change {
            Change::Tools => ("tools", None),
            Change::Prompts => ("prompts", None),
            Change::Resources => ("resources", None),
            Change::Resource(uri) => ("resource", Some(uri)),
            Change::Gap => ("gap", None),
            _ => continue,
        };
        let object = ChangeObject { change: name, uri };
        let line = match (
            command.connection.json || command.connection.raw,
            &object.uri,
        ) {
            (true, _) => serde_json::to_string(&object).map_err(std::io::Error::from)?,
            (false, None) => name.to_owned(),
            (false, Some(uri)) => format!("{name} {uri}"),
        };
        output.line(&line)?;
        left -= 1;
    }
    Ok(())
}
