//! `corelane login` and `logout`: credentials of servers, in a file that its owner alone may read.

use std::process::{Command, Stdio};

use clap::Args;
use corelane_client::Interactive;

use super::connection::ConnectionArguments;
use super::failure::{Failure, print_error};
use super::output::Output;
use super::server_files;

/// The arguments of `corelane login`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoginArguments {
    /// The server: a URL, or @NAME.
    pub(crate) target: String,
    /// The id that this program is registered with at the authorization server. Without it the
    /// program registers itself.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Open the page in a browser. Its URL is printed in any case.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// The arguments of `corelane logout`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogoutArguments {
    /// The URL of the server.
    target: String,
    /// Print errors as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl LoginArguments {
    /// Gets credentials from the user, and keeps them.
    pub(super) fn credentials(&self) -> Result<Interactive, Failure> {
        let is_opened = self.open;
        let credentials = Interactive::new("corelane", move |url| {
            print_error(&format!("Open this page and log in:\n{url}"));
            if is_opened {
                open(url);
            }
        });
        let credentials = credentials.keep_in(server_files::credentials()?);
        Ok(match &self.client_id {
            Some(id) => credentials.registered(id, None),
            None => credentials,
        })
    }
}

/// Opens a page. It may fail: the URL is printed.
fn open(url: &str) {
    let mut command = Command::new("xdg-open");
    let silent = [Stdio::null(), Stdio::null(), Stdio::null()];
    let [input, output, errors] = silent;
    let _ = command
        .arg(url)
        .stdin(input)
        .stdout(output)
        .stderr(errors)
        .spawn();
}

/// Runs `corelane login` after the connection is open.
pub(crate) fn perform(command: &LoginArguments, output: &Output) -> Result<(), Failure> {
    let file = server_files::credentials()?;
    let text = match file.exists() {
        true => format!("connected; credentials are in {}", file.display()),
        false => format!("{} wants no credentials", command.target),
    };
    Ok(output.line(&text)?)
}

/// Runs `corelane logout`.
pub(crate) fn log_out(command: &LogoutArguments) -> Result<(), Failure> {
    let file = server_files::credentials()?;
    let forgotten = Interactive::forget(&file, &command.target);
    match forgotten.map_err(|error| Failure::Configuration(error.to_string()))? {
        true => Ok(Output::new().line("the credentials are removed")?),
        false => {
            let fault = format!("no credentials of {} are stored", command.target);
            Err(Failure::Refused(fault))
        }
    }
}
