//! `corelane call`: calls a tool, or performs any request.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use corelane_client::{Call, CallResult, Client, Content, Era, Progress};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::answers::AnswerArguments;
use super::connection::ConnectionArguments;
use super::failure::{Failure, print_error};
use super::output::Output;
use super::tool_arguments::{self, Argument};

/// The most bytes of `--args -`.
const INPUT_BYTES_MAX: usize = 16 << 20;

/// The arguments of `corelane call`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    corelane call http://127.0.0.1:8080/mcp add a=1 b=2\n  \
    corelane call echo 'message=hello there' -- corelane serve --stdio\n  \
    corelane call @files search --args '{\"pattern\": \"x\"}' --json")]
pub(crate) struct CallArguments {
    /// The server: a URL, 'stdio:PROGRAM ARGUMENTS', unix:PATH, tcp:HOST:PORT or @NAME; or put --
    /// and the program at the end instead.
    pub(crate) target: String,
    /// The name of the tool.
    #[arg(
        required_unless_present_any = ["method", "task_id"],
        conflicts_with_all = ["method", "task_id"]
    )]
    tool: Option<String>,
    /// The arguments of the tool: name=value has the type of the schema, name:=json is JSON,
    /// name=@file is the text of a file.
    #[arg(value_name = "NAME=VALUE", value_parser = tool_arguments::parse)]
    arguments: Vec<Argument>,
    /// The arguments as a JSON object; - reads it from standard input.
    #[arg(long, value_name = "JSON|-")]
    args: Option<String>,
    /// Do not list the tools first: values are strings, and the server alone checks them.
    #[arg(long)]
    no_schema: bool,
    /// Write images, audio and other bytes of the result to files in this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Perform this request instead of a call of a tool, such as server/discover.
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// The params of --method, as a JSON object.
    #[arg(long, value_name = "JSON", requires = "method")]
    params: Option<String>,
    /// Make the call a task: print its id, which `--task-id` takes, and end. A server that makes no
    /// task of it answers the call.
    #[arg(long, conflicts_with_all = ["method", "task_id"])]
    task: bool,
    /// Wait for the task with this id, and print its result. A task that is interrupted or takes
    /// longer than --max-timeout goes on.
    #[arg(long, value_name = "ID", conflicts_with = "method")]
    task_id: Option<String>,
    #[command(flatten)]
    pub(crate) answers: AnswerArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// A task that was made, with `--json`.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct TaskObject {
    /// Its id, which `--task-id` takes.
    task_id: String,
}

/// Runs the command.
pub(crate) async fn perform(
    command: &CallArguments,
    client: &Client,
    output: &Output,
) -> Result<(), Failure> {
    if let Some(method) = &command.method {
        let params = command
            .params
            .as_deref()
            .map(|text| object("--params", text));
        let params = Value::Object(params.transpose()?.unwrap_or_default());
        let result = client.request(method, params).await?;
        return Ok(output.line(result.get())?);
    }
    if let Some(id) = &command.task_id {
        return finish(command, &client.task(id).result().await?, output);
    }
    let name = command.tool.as_deref().unwrap_or_default();
    let arguments = arguments(command, client, name).await?;
    let mut call = client.call(name, Value::Object(arguments));
    if !command.connection.json && !command.connection.raw {
        call = call.on_progress(|progress| print_error(&progress_line(&progress)));
    }
    if command.task {
        return begin_task(command, client, call, output).await;
    }
    finish(command, &call.await?, output)
}

/// Makes a call a task, and prints its id.
async fn begin_task(
    command: &CallArguments,
    client: &Client,
    call: Call,
    output: &Output,
) -> Result<(), Failure> {
    if client.era() == Era::Legacy {
        let fault = "a task of the legacy era ends with this command: leave --task out";
        return Err(Failure::Usage(fault.to_owned()));
    }
    let task = call.as_task().await?;
    match task.id() {
        None => finish(command, &task.result().await?, output),
        Some(id) if command.connection.json || command.connection.raw => {
            let object = TaskObject {
                task_id: id.to_owned(),
            };
            let text = serde_json::to_string(&object).map_err(std::io::Error::from)?;
            Ok(output.line(&text)?)
        }
        Some(id) => Ok(output.line(id)?),
    }
}

/// Prints a result.
fn finish(command: &CallArguments, result: &CallResult, output: &Output) -> Result<(), Failure> {
    match command.connection.json || command.connection.raw {
        true => output.line(result.raw().get())?,
        false => print(result, output, command.out.as_deref())?,
    }
    match result.is_error {
        true => Err(Failure::Tool),
        false => Ok(()),
    }
}

/// The arguments of the call, checked with the schema of the tool.
async fn arguments(
    command: &CallArguments,
    client: &Client,
    name: &str,
) -> Result<Map<String, Value>, Failure> {
    let mut arguments = match command.args.as_deref() {
        None => Map::new(),
        Some("-") => {
            let text = crate::bounded_file::text(std::io::stdin(), INPUT_BYTES_MAX);
            object("standard input", &text.map_err(Failure::Io)?)?
        }
        Some(text) => object("--args", text)?,
    };
    let schema: Option<Value> = match command.no_schema {
        true => None,
        false => {
            let tools = client.tools().await?;
            let tool = tools.iter().find(|tool| tool.name == name);
            let tool = tool.ok_or_else(|| {
                let known = tools.iter().map(|tool| tool.name.as_str());
                tool_arguments::unknown("tool", name, known)
            })?;
            serde_json::from_str(tool.input_schema.get()).ok()
        }
    };
    for argument in &command.arguments {
        let value = argument.value(schema.as_ref())?;
        arguments.insert(argument.name.clone(), value);
    }
    if let Some(schema) = &schema {
        tool_arguments::check(&arguments, schema)?;
    }
    Ok(arguments)
}

fn object(name: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::Usage(format!("{name} is no JSON object: {error}")))
}

fn progress_line(progress: &Progress) -> String {
    let total = progress.total.map(|total| format!("/{total}"));
    let message = progress.message.as_deref().map(|text| format!(": {text}"));
    format!(
        "progress {}{}{}",
        progress.progress,
        total.unwrap_or_default(),
        message.unwrap_or_default()
    )
}

/// Prints a result for people.
fn print(result: &CallResult, output: &Output, folder: Option<&Path>) -> Result<(), Failure> {
    let mut structured = result.structured.as_deref().map(|raw| raw.get());
    for (index, block) in result.content.iter().enumerate() {
        if let (Content::Text(text), Some(raw)) = (block, structured)
            && is_same_json(text, raw)
        {
            // Servers repeat structured content as text.
            structured = None;
        }
        print_block(block, index, output, folder)?;
    }
    if let Some(raw) = structured {
        let value: Value = serde_json::from_str(raw).unwrap_or_default();
        output.line(&format!("{value:#}"))?;
    }
    Ok(())
}

fn is_same_json(text: &str, raw: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    value(text).is_some() && value(text) == value(raw)
}

/// Prints one block of content.
pub(crate) fn print_block(
    block: &Content,
    index: usize,
    output: &Output,
    folder: Option<&Path>,
) -> Result<(), Failure> {
    match block {
        Content::Text(text) => output.line(text)?,
        Content::Image { data, mime_type } | Content::Audio { data, mime_type } => {
            print_bytes((data, mime_type), index, output, folder)?;
        }
        Content::Resource(resource) => match (&resource.text, &resource.blob) {
            (Some(text), _) => output.line(text)?,
            (None, Some(data)) => {
                let mime_type = resource.mime_type.as_deref();
                let mime_type = mime_type.unwrap_or("application/octet-stream");
                print_bytes((data, mime_type), index, output, folder)?;
            }
            (None, None) => output.line(&resource.uri)?,
        },
        Content::Link(resource) => output.line(&format!("{} {}", resource.uri, resource.name))?,
        Content::Other(value) => output.line(&format!("{value:#}"))?,
        _ => {}
    }
    Ok(())
}

/// Writes bytes to a file of the folder, or a line about them.
fn print_bytes(
    (data, mime_type): (&str, &str),
    index: usize,
    output: &Output,
    folder: Option<&Path>,
) -> Result<(), Failure> {
    let bytes = STANDARD.decode(data).map_err(|_| {
        corelane_client::Error::Protocol("the bytes of a block are not in Base64".to_owned())
    })?;
    let Some(folder) = folder else {
        let count = bytes.len();
        let line = format!("[{mime_type}, {count} bytes: --out DIR writes them]");
        return Ok(output.line(&line)?);
    };
    // The name is of this program alone: a server never chooses the name of a file.
    let path = folder.join(format!("{index}.{}", ending(mime_type)));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes));
    written.map_err(|error| Failure::file(&path, &error))?;
    Ok(output.line(&path.display().to_string())?)
}

/// The ending of a file of this type; that of any bytes for types that are not media.
fn ending(mime_type: &str) -> &'static str {
    match mime_type {
        "audio/mpeg" => "mp3",
        "audio/ogg" => "ogg",
        "audio/wav" | "audio/x-wav" => "wav",
        "application/pdf" => "pdf",
        "image/gif" => "gif",
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/svg+xml" => "svg",
        "image/webp" => "webp",
        _ => "bin",
    }
}
