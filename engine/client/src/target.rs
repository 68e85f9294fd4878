//! Addresses of servers.

#[cfg(feature = "child")]
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::limits::{CONNECT_TIMEOUT, WAITING_MAX};
use crate::lines::LineWire;
use crate::message::Incoming;
use crate::settings::Settings;
use crate::wire::Wire;

/// The address of a server.
#[derive(Debug)]
pub struct Target {
    label: String,
    kind: Kind,
}

enum Kind {
    #[cfg(feature = "http")]
    Http(reqwest::Url),
    #[cfg(feature = "child")]
    Child(Box<tokio::process::Command>),
    Unix(String),
    Tcp(String),
    Pair(Option<Pair>),
}

type Pair = (
    Box<dyn AsyncRead + Send + Unpin>,
    Box<dyn AsyncWrite + Send + Unpin>,
);

impl std::fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            #[cfg(feature = "http")]
            Kind::Http(_) => "Http",
            #[cfg(feature = "child")]
            Kind::Child(_) => "Child",
            Kind::Unix(_) => "Unix",
            Kind::Tcp(_) => "Tcp",
            Kind::Pair(_) => "Pair",
        })
    }
}

/// A value that is an address: a text, a command or the two halves of a stream; with the feature
/// `memory` also a `corelane::Server`, which is started in this process.
///
/// | text | server |
/// |---|---|
/// | `http://…`, `https://…` | over HTTP |
/// | `stdio:uvx mcp-server-git` | a child process; words are split as a shell does, without one |
/// | `unix:/run/x.sock` | a Unix socket |
/// | `tcp:127.0.0.1:9000` | a TCP socket |
pub trait IntoTarget {
    /// The address.
    ///
    /// # Errors
    /// [`Error::Connect`] if it is none.
    fn into_target(self) -> Result<Target, Error>;
}

impl IntoTarget for Target {
    fn into_target(self) -> Result<Target, Error> {
        Ok(self)
    }
}

impl IntoTarget for &str {
    fn into_target(self) -> Result<Target, Error> {
        let kind = match self.split_once(':') {
            #[cfg(feature = "http")]
            Some(("http" | "https", _)) => Kind::Http(url(self)?),
            #[cfg(feature = "child")]
            Some(("stdio", line)) => Kind::Child(Box::new(command(line)?)),
            Some(("unix", path)) => Kind::Unix(path.to_owned()),
            Some(("tcp", address)) => Kind::Tcp(address.to_owned()),
            _ => {
                let remedy = "use http://, https://, stdio:, unix: or tcp:";
                return Err(unusable(self, remedy));
            }
        };
        // The query of a URL may be a credential.
        let label = match &kind {
            #[cfg(feature = "http")]
            Kind::Http(_) => self.split(['?', '#']).next().unwrap_or_default().to_owned(),
            _ => self.to_owned(),
        };
        Ok(Target { label, kind })
    }
}

impl IntoTarget for String {
    fn into_target(self) -> Result<Target, Error> {
        self.as_str().into_target()
    }
}

#[cfg(feature = "child")]
impl IntoTarget for tokio::process::Command {
    fn into_target(self) -> Result<Target, Error> {
        let label = self.as_std().get_program().to_string_lossy().into_owned();
        let kind = Kind::Child(Box::new(self));
        Ok(Target { label, kind })
    }
}

#[cfg(feature = "child")]
impl IntoTarget for std::process::Command {
    fn into_target(self) -> Result<Target, Error> {
        tokio::process::Command::from(self).into_target()
    }
}

impl<R, W> IntoTarget for (R, W)
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    fn into_target(self) -> Result<Target, Error> {
        Ok(Target::of_pair("the stream", self))
    }
}

#[cfg(feature = "http")]
fn url(text: &str) -> Result<reqwest::Url, Error> {
    let url = reqwest::Url::parse(text);
    let url = url.map_err(|error| unusable(text, &error.to_string()))?;
    match url.password() {
        None if url.username().is_empty() => Ok(url),
        _ => Err(unusable("the URL", "credentials do not belong into a URL")),
    }
}

#[cfg(feature = "child")]
fn command(line: &str) -> Result<tokio::process::Command, Error> {
    let words = shell_words::split(line).map_err(|error| unusable(line, &error.to_string()))?;
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| unusable(line, "stdio: needs a program"))?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments);
    Ok(command)
}

pub(crate) fn unusable(target: &str, reason: &str) -> Error {
    Error::Connect {
        target: target.to_owned(),
        reason: reason.to_owned(),
    }
}

impl Target {
    /// The two halves of a stream, with a name for people.
    pub(crate) fn of_pair<R, W>(label: &str, (reader, writer): (R, W)) -> Target
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Target {
            label: label.to_owned(),
            kind: Kind::Pair(Some((Box::new(reader), Box::new(writer)))),
        }
    }

    /// The address, for people.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The part of a URL that eras are remembered by.
    pub(crate) fn origin(&self) -> Option<String> {
        match &self.kind {
            #[cfg(feature = "http")]
            Kind::Http(url) => Some(format!(
                "{}{}",
                url.origin().ascii_serialization(),
                url.path()
            )),
            _ => None,
        }
    }

    /// Opens a transport. Messages that belong to no request come out of the receiver.
    pub(crate) async fn open(
        &mut self,
        settings: &Arc<Settings>,
    ) -> Result<(Wire, mpsc::Receiver<Incoming>), Error> {
        let (sender, others) = mpsc::channel(WAITING_MAX);
        let label = self.label.clone();
        let failed = |reason: &str| unusable(&label, reason);
        let connected = |error: std::io::Error| unusable(&label, &error.to_string());
        let late = |_| unusable(&label, "no connection in time");
        let wire = match &mut self.kind {
            #[cfg(feature = "http")]
            Kind::Http(url) => {
                let wire = crate::http::HttpWire::new((url.clone(), label), settings)?;
                return Ok((Wire::Http(wire.into()), others));
            }
            #[cfg(feature = "child")]
            Kind::Child(command) => {
                let child = command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn();
                let halves = ChildHalves::of(child.map_err(connected)?);
                let halves = halves.ok_or_else(|| failed("the process has no pipes"))?;
                LineWire::new(
                    label.clone(),
                    (halves.reader, halves.writer),
                    settings,
                    sender,
                )
            }
            Kind::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(&*path);
                let stream = tokio::time::timeout(CONNECT_TIMEOUT, stream).await;
                let halves = stream.map_err(late)?.map_err(connected)?.into_split();
                LineWire::new(label.clone(), halves, settings, sender)
            }
            Kind::Tcp(address) => {
                let stream = tokio::net::TcpStream::connect(&*address);
                let stream = tokio::time::timeout(CONNECT_TIMEOUT, stream).await;
                let stream = stream.map_err(late)?.map_err(connected)?;
                stream.set_nodelay(true).map_err(connected)?;
                LineWire::new(label.clone(), stream.into_split(), settings, sender)
            }
            Kind::Pair(halves) => {
                let halves = halves.take();
                let halves = halves.ok_or_else(|| failed("the stream has ended"))?;
                LineWire::new(label.clone(), halves, settings, sender)
            }
        };
        Ok((Wire::Lines(wire.into()), others))
    }
}

/// The pipes of a child process. The process is killed with its output pipe's reader.
#[cfg(feature = "child")]
struct ChildHalves {
    reader: ChildReader,
    writer: tokio::process::ChildStdin,
}

/// The output of a child process, which owns the process.
#[cfg(feature = "child")]
struct ChildReader {
    output: tokio::process::ChildStdout,
    _process: tokio::process::Child,
}

#[cfg(feature = "child")]
impl ChildHalves {
    fn of(mut child: tokio::process::Child) -> Option<ChildHalves> {
        let (writer, output) = (child.stdin.take()?, child.stdout.take()?);
        let _process = child;
        let reader = ChildReader { output, _process };
        Some(ChildHalves { reader, writer })
    }
}

#[cfg(feature = "child")]
impl AsyncRead for ChildReader {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.output).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::IntoTarget;

    #[test]
    fn a_text_is_an_address_or_an_error_with_the_remedy() {
        for (text, kind) in [
            ("http://127.0.0.1:1/mcp", "Http"),
            ("https://example.com/mcp", "Http"),
            ("stdio:cat 'a b' c", "Child"),
            ("unix:/run/x.sock", "Unix"),
            ("tcp:127.0.0.1:9000", "Tcp"),
        ] {
            let target = text.into_target().unwrap();
            assert_eq!(
                (target.label(), &*format!("{:?}", target.kind)),
                (text, kind)
            );
        }
        for (text, reason) in [
            ("example.com/mcp", "use http://"),
            ("ftp://example.com", "use http://"),
            ("http://", "host"),
            (
                "https://user:secret@example.com",
                "credentials do not belong into a URL",
            ),
            ("stdio:", "needs a program"),
            ("stdio:a 'b", "quot"),
        ] {
            let error = text.into_target().unwrap_err().to_string();
            assert!(
                error.contains(reason) && !error.contains("secret"),
                "{text}: {error}"
            );
        }
    }
}
