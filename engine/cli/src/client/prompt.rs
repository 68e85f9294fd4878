//! `corelane prompt`: gets a prompt.

use clap::Args;
use corelane_client::{Client, PromptResult};
use serde_json::{Map, Value, json};

use super::answers::AnswerArguments;
use super::call::print_block;
use super::connection::ConnectionArguments;
use super::failure::Failure;
use super::output::Output;
use super::tool_arguments::{self, Argument};

/// The arguments of `corelane prompt`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PromptArguments {
    /// The server: a URL, 'stdio:PROGRAM ARGUMENTS', unix:PATH, tcp:HOST:PORT or @NAME; or put --
    /// and the program at the end instead.
    pub(crate) target: String,
    /// The name of the prompt.
    name: String,
    /// The arguments of the prompt; name=@file is the text of a file.
    #[arg(value_name = "NAME=VALUE", value_parser = tool_arguments::parse)]
    arguments: Vec<Argument>,
    #[command(flatten)]
    pub(crate) answers: AnswerArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// Runs the command.
pub(crate) async fn perform(
    command: &PromptArguments,
    client: &Client,
    output: &Output,
) -> Result<(), Failure> {
    let mut params = json!({"name": command.name});
    let mut arguments = Map::new();
    for argument in &command.arguments {
        // Arguments of prompts are always strings.
        arguments.insert(argument.name.clone(), Value::String(argument.text()?));
    }
    if !arguments.is_empty() {
        params["arguments"] = arguments.into();
    }
    let result = client.request("prompts/get", params).await?;
    let PromptResult { messages, .. } = result.parse()?;
    if command.connection.json || command.connection.raw {
        return Ok(output.line(result.get())?);
    }
    for (index, message) in messages.iter().enumerate() {
        output.line(&format!("{}:", message.role))?;
        print_block(&message.content, index, output, None)?;
    }
    Ok(())
}
