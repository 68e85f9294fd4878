//! Standard input and output as one socket, which a shard serves like any other.
//!
//! Pipes, files and terminals are no sockets, and reading them may block. So two plain threads
//! carry bytes between them and a pair of sockets, and every bound of a connection holds unchanged:
//! a parent that reads nothing fills the socket, and the shard stops reading its messages.
//!
//! The process's own descriptors 0 and 1 lead elsewhere from then on: all output of handlers,
//! libraries and child processes goes to standard error, and only messages reach the parent (MCP
//! basic/transports, "stdio").

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Bytes carried at a time, as many as a pipe holds.
const PIECE_BYTES: usize = 64 * 1024;

/// Standard input and output, of which nothing else in the process knows.
#[derive(Debug)]
pub(crate) struct Stdio {
    /// The bytes from the parent.
    pub(crate) input: OwnedFd,
    /// The bytes to the parent.
    pub(crate) output: OwnedFd,
}

/// The ends of the connected socket.
#[derive(Debug)]
pub(crate) struct Connected {
    /// The socket that a shard serves.
    pub(crate) socket: OwnedFd,
    /// Hangs up when all output was written, or cannot be.
    pub(crate) written: Receiver<()>,
}

impl Stdio {
    /// Takes standard input and output away from the rest of the process: other output goes to
    /// standard error, and other reads find no input.
    ///
    /// # Errors
    /// The kernel's error, as when one of the three is closed.
    pub(crate) fn take_over() -> io::Result<Stdio> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
        Ok(Stdio { input, output })
    }

    /// Starts the threads that carry bytes. They end with the streams, or with the process.
    /// `on_input_end` is called when the parent sends no more.
    ///
    /// # Errors
    /// When sockets or threads cannot be made.
    pub(crate) fn connect(
        self,
        on_input_end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Connected> {
        let (socket, inner) = UnixStream::pair()?;
        let (sender, written) = channel::<()>();
        let (Stdio { input, output }, reader) = (self, inner.try_clone()?);
        start("stdin", move || {
            if let Err(error) = carry(input.as_fd(), inner.as_fd()) {
                tracing::debug!(%error, "standard input ended");
            }
            on_input_end();
            // The shard finishes its requests, and ends.
            let _ = inner.shutdown(Shutdown::Write);
        })?;
        start("stdout", move || {
            let _sender = sender;
            if let Err(error) = carry(reader.as_fd(), output.as_fd()) {
                tracing::warn!(%error, "standard output is lost: nobody reads answers any more");
            }
            let _ = reader.shutdown(Shutdown::Both);
        })?;
        let socket = socket.into();
        Ok(Connected { socket, written })
    }
}

fn start(name: &str, carry: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(carry)?;
    Ok(())
}

/// Carries bytes until `from` ends.
fn carry(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = match rustix::io::read(from, &mut piece[..]) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            // The socket was closed with bytes unread that went the other way.
            Err(Errno::CONNRESET) => return Ok(()),
            Err(error) => {
                wait(error, from, PollFlags::IN)?;
                continue;
            }
        };
        let mut rest = &piece[..count];
        while !rest.is_empty() {
            match rustix::io::write(to, rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => wait(error, to, PollFlags::OUT)?,
            }
        }
    }
}

/// Waits until a failed operation can continue, if the descriptor only was not ready: a parent may
/// have made its pipe non-blocking.
fn wait(error: Errno, fd: BorrowedFd<'_>, events: PollFlags) -> io::Result<()> {
    match error {
        Errno::INTR => Ok(()),
        Errno::AGAIN => match poll(&mut [PollFd::from_borrowed_fd(fd, events)], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        },
        error => Err(error.into()),
    }
}
