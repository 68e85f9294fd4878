//! Servers in this process, for tests of them: no port, no waiting for one.

use std::pin::Pin;
use std::task::{Context, Poll};

use corelane::{RunningServer, Server};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use crate::error::Error;
use crate::target::{IntoTarget, Target, unusable};

/// The label of such a server.
const LABEL: &str = "the server in this process";

impl IntoTarget for Server {
    /// Starts the server. It ends with its client.
    ///
    /// ```
    /// use corelane::{Server, tool};
    /// use corelane_client::{Error, connect, json};
    ///
    /// /// Adds two numbers.
    /// #[tool]
    /// async fn add(a: f64, b: f64) -> f64 {
    ///     a + b
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let client = connect(Server::new("calculator", "1.0.0").with_tool(add())).await?;
    /// let sum: f64 = client.call("add", json!({"a": 1, "b": 2})).await?.parse()?;
    /// assert_eq!(sum, 3.0);
    /// # Ok(())
    /// # }
    /// ```
    fn into_target(self) -> Result<Target, Error> {
        let failed = |reason: String| unusable(LABEL, &reason);
        let started = self.start_in_memory();
        let (server, stream) = started.map_err(|error| failed(error.to_string()))?;
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(stream));
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        let (output, input) = stream.into_split();
        let server = Some(server);
        Ok(Target::of_pair(
            LABEL,
            (MemoryReader { output, server }, input),
        ))
    }
}

/// The output of a server in this process, which owns the server.
struct MemoryReader {
    output: OwnedReadHalf,
    server: Option<RunningServer>,
}

impl Drop for MemoryReader {
    /// The server drains on a thread of its own: it waits for calls, and a runtime must not.
    fn drop(&mut self) {
        let server = self.server.take();
        std::thread::spawn(move || drop(server));
    }
}

impl AsyncRead for MemoryReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.output).poll_read(context, buffer)
    }
}
