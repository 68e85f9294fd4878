//! `corelane read`: reads a resource.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use corelane_client::{Client, Error, ReadResult, ResourceContents};
use serde_json::json;

use super::answers::AnswerArguments;
use super::connection::ConnectionArguments;
use super::failure::Failure;
use super::output::Output;

/// The arguments of `corelane read`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReadArguments {
    /// The server: a URL, 'stdio:PROGRAM ARGUMENTS', unix:PATH, tcp:HOST:PORT or @NAME; or put --
    /// and the program at the end instead.
    pub(crate) target: String,
    /// The URI of the resource.
    uri: String,
    /// Write the resource to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answers: AnswerArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// Runs the command.
pub(crate) async fn perform(
    command: &ReadArguments,
    client: &Client,
    output: &Output,
) -> Result<(), Failure> {
    let params = json!({"uri": command.uri});
    let result = client.request("resources/read", params).await?;
    let ReadResult { contents, .. } = result.parse()?;
    if let Some(path) = &command.out {
        let [part] = &contents[..] else {
            let parts = contents.len();
            let fault = format!("the resource has {parts} parts and --out takes one: use --json");
            return Err(Failure::Refused(fault));
        };
        let written = std::fs::write(path, bytes(part)?);
        return written.map_err(|error| Failure::file(path, &error));
    }
    if command.connection.json || command.connection.raw {
        return Ok(output.line(result.get())?);
    }
    for part in &contents {
        print(part, output)?;
    }
    Ok(())
}

fn print(part: &ResourceContents, output: &Output) -> Result<(), Failure> {
    match (&part.text, output.is_terminal) {
        (Some(text), true) => output.line(text)?,
        // Programs get the bytes of the resource and nothing else.
        (Some(text), false) => output.text(text)?,
        (None, false) => output.bytes(&bytes(part)?)?,
        (None, true) => {
            let count = bytes(part)?.len();
            output.line(&format!("[{count} bytes: --out FILE writes them]"))?;
        }
    }
    Ok(())
}

fn bytes(part: &ResourceContents) -> Result<Vec<u8>, Failure> {
    match (&part.text, &part.blob) {
        (Some(text), _) => Ok(text.clone().into_bytes()),
        (None, Some(blob)) => STANDARD.decode(blob).map_err(|_| {
            let fault = "the bytes of the resource are not in Base64".to_owned();
            Failure::Client(Error::Protocol(fault))
        }),
        (None, None) => Ok(Vec::new()),
    }
}
