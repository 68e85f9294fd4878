//! `corelane complete`: completes an argument of a prompt or of a template.

use clap::Args;
use corelane_client::{Client, Completion};
use serde::Deserialize;
use serde_json::json;

use super::connection::ConnectionArguments;
use super::failure::{Failure, print_error};
use super::output::Output;

/// The arguments of `corelane complete`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompleteArguments {
    /// The server: a URL, 'stdio:PROGRAM ARGUMENTS', unix:PATH, tcp:HOST:PORT or @NAME; or put --
    /// and the program at the end instead.
    pub(crate) target: String,
    /// A prompt as prompt:NAME, or the URI of a template.
    #[arg(value_name = "prompt:NAME|URI")]
    reference: String,
    /// The name of the argument.
    argument: String,
    /// The start of its value.
    #[arg(allow_hyphen_values = true, default_value = "")]
    value: String,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Deserialize)]
struct Completed {
    completion: Completion,
}

/// Runs the command.
pub(crate) async fn perform(
    command: &CompleteArguments,
    client: &Client,
    output: &Output,
) -> Result<(), Failure> {
    let reference = match command.reference.strip_prefix("prompt:") {
        Some(name) => json!({"type": "ref/prompt", "name": name}),
        None => json!({"type": "ref/resource", "uri": command.reference}),
    };
    let argument = json!({"name": command.argument, "value": command.value});
    let params = json!({"ref": reference, "argument": argument});
    let result = client.request("completion/complete", params).await?;
    let Completed { completion } = result.parse()?;
    if command.connection.json || command.connection.raw {
        return Ok(output.line(result.get())?);
    }
    for value in &completion.values {
        output.line(value)?;
    }
    if completion.has_more {
        let total = completion.total.map(|total| format!(" of {total}"));
        let shown = completion.values.len();
        print_error(&format!("{shown}{} are shown", total.unwrap_or_default()));
    }
    Ok(())
}
