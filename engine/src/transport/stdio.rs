//! Standard input and output as one socket, which a shard serves like any other.
//!
//! Pipes, files and terminals are no sockets, and reading them may block. So two plain threads
//! carry bytes between them and a pair of sockets, and every bound of a connection holds unchanged:
//! a parent that reads nothing fills the socket, and the shard stops reading its messages.
//!
//! The process's own descriptors 0 and 1 lead elsewhere from then on: the output of handlers,
//! libraries and child processes goes to standard error, and nothing but messages reaches the
//! parent (MCP basic/transports, "stdio").

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, makedev};
use rustix::io::Errno;
use rustix::net::SendFlags;

/// Bytes carried at a time, as many as a pipe holds.
const PIECE_BYTES: usize = 64 * 1024;

/// Numbers of the device /dev/null (Linux, admin-guide/devices.txt).
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Standard input and output, of which nothing else in the process knows.
#[derive(Debug)]
pub(crate) struct Stdio {
    /// The messages of the parent.
    pub(crate) input: OwnedFd,
    /// The messages to the parent.
    pub(crate) output: OwnedFd,
}

/// Why standard input and output cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The process was started without it, or with /dev/null in its place.
    #[error("standard {0} is closed or /dev/null: connect it to a client, such as by a pipe")]
    Closed(&'static str),
    /// It was opened for the other direction only.
    #[error("standard {0} is not open for {1}: connect it to a client, such as by a pipe")]
    Direction(&'static str, &'static str),
    /// The messages of the parent cannot be read.
    #[error("cannot read standard input: {0}")]
    Read(io::Error),
    /// The messages to the parent cannot be written.
    #[error("cannot write standard output: {0}")]
    Write(io::Error),
    /// The descriptors, sockets or threads for them cannot be made.
    #[error("cannot serve standard input and output: {0}")]
    Setup(#[from] io::Error),
}

impl Stdio {
    /// Takes standard input and output away from the rest of the process: other output goes to
    /// standard error, and other readers read nothing.
    ///
    /// # Errors
    /// [`StdioError`] if one of the two is closed or not open for its direction, or the kernel
    /// refuses a descriptor.
    pub(crate) fn take_over() -> Result<Stdio, StdioError> {
        let (input, output) = (io::stdin(), io::stdout());
        check(input.as_fd(), ("input", "reading", OFlags::WRONLY))?;
        check(output.as_fd(), ("output", "writing", OFlags::RDONLY))?;
        let input = input.as_fd().try_clone_to_owned()?;
        let output = output.as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
        rustix::stdio::dup2_stdout(io::stderr().as_fd()).map_err(io::Error::from)?;
        Ok(Stdio { input, output })
    }

    /// Starts the threads that carry bytes to and from `socket`. They end with the streams, or with
    /// the process.
    ///
    /// `on_input_end` is called when the parent sends no more, with the error if there was one, and
    /// also before that when the parent has gone and unread bytes are left. The receiver gets the
    /// result of writing, when all output was written or cannot be.
    ///
    /// # Errors
    /// When sockets or threads cannot be made.
    pub(crate) fn carry(
        self,
        socket: UnixStream,
        mut on_input_end: impl FnMut(Option<StdioError>) + Send + 'static,
    ) -> Result<Receiver<Result<(), StdioError>>, StdioError> {
        let Stdio { input, output } = self;
        let (sender, written) = channel();
        let reader = socket.try_clone()?;
        start("stdin", move || {
            // Waiting for the socket in `poll` also notices the end of standard input.
            let send = |bytes: &[u8]| rustix::net::send(&socket, bytes, SendFlags::DONTWAIT);
            let to = (socket.as_fd(), send);
            let carried = carry(input.as_fd(), to, || on_input_end(None));
            on_input_end(match carried {
                Err(CarryError::Read(error)) => Some(StdioError::Read(error)),
                Ok(()) | Err(CarryError::Write(_)) => None,
            });
            // The shard answers the requests that it has, and ends.
            let _ = socket.shutdown(Shutdown::Write);
        })?;
        start("stdout", move || {
            let write = |bytes: &[u8]| rustix::io::write(&output, bytes);
            let carried = carry(reader.as_fd(), (output.as_fd(), write), || {});
            let _ = reader.shutdown(Shutdown::Both);
            let _ = sender.send(written_as(carried));
        })?;
        Ok(written)
    }
}

/// The result of writing standard output. A parent that closes its end of a pipe has a right to.
fn written_as(carried: Result<(), CarryError>) -> Result<(), StdioError> {
    match carried {
        Err(CarryError::Write(error)) => {
            tracing::warn!(%error, "standard output is lost: nobody reads answers any more");
            match error.kind() {
                io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(StdioError::Write(error)),
            }
        }
        Ok(()) | Err(CarryError::Read(_)) => Ok(()),
    }
}

/// Checks that a standard stream is there and open for its direction: that its mode is not `wrong`.
///
/// The standard library opens /dev/null for reading and writing in place of a closed one.
fn check(
    fd: BorrowedFd<'_>,
    (name, direction, wrong): (&'static str, &'static str, OFlags),
) -> Result<(), StdioError> {
    let mode = fcntl_getfl(fd).map_err(|_| StdioError::Closed(name))? & OFlags::RWMODE;
    let stat = fstat(fd).map_err(io::Error::from)?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == makedev(NULL_DEVICE.0, NULL_DEVICE.1);
    match mode {
        OFlags::RDWR if is_null => Err(StdioError::Closed(name)),
        mode if mode == wrong => Err(StdioError::Direction(name, direction)),
        _ => Ok(()),
    }
}

fn start(name: &str, carry: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(carry)?;
    Ok(())
}

/// The side at which carrying bytes failed.
#[derive(Debug)]
enum CarryError {
    Read(io::Error),
    Write(io::Error),
}

/// Carries bytes until `from` ends; `write` writes some of them to `to`. `on_hangup` is called once
/// if the other end of `from` is closed while `to` takes no bytes: the end of `from` cannot be read
/// then.
fn carry(
    from: BorrowedFd<'_>,
    (to, write): (BorrowedFd<'_>, impl Fn(&[u8]) -> Result<usize, Errno>),
    mut on_hangup: impl FnMut(),
) -> Result<(), CarryError> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut has_hung_up = false;
    loop {
        let count = match rustix::io::read(from, &mut piece[..]) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            // The socket was closed with bytes unread that went the other way.
            Err(Errno::CONNRESET) => return Ok(()),
            Err(error) => {
                let polled = &mut [PollFd::from_borrowed_fd(from, PollFlags::IN)];
                wait(error, polled).map_err(CarryError::Read)?;
                continue;
            }
        };
        let mut rest = &piece[..count];
        while !rest.is_empty() {
            let error = match write(rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    continue;
                }
                Err(error) => error,
            };
            let polled = &mut [
                PollFd::from_borrowed_fd(to, PollFlags::OUT),
                PollFd::from_borrowed_fd(from, PollFlags::RDHUP),
            ];
            // After a hang-up is known it would end each wait at once.
            let watched = if has_hung_up { 1 } else { 2 };
            wait(error, &mut polled[..watched]).map_err(CarryError::Write)?;
            let hung_up = PollFlags::RDHUP | PollFlags::HUP;
            if !has_hung_up && polled[1].revents().intersects(hung_up) {
                has_hung_up = true;
                on_hangup();
            }
        }
    }
}

/// Waits until a failed operation can be repeated, if the descriptor only was not ready: a parent
/// may have made its pipe a non-blocking one.
fn wait(error: Errno, polled: &mut [PollFd<'_>]) -> io::Result<()> {
    match error {
        Errno::INTR => Ok(()),
        Errno::AGAIN => match poll(polled, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        },
        error => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_parent_that_has_gone_is_noticed_while_its_messages_cannot_be_passed_on() {
        const TRIES_MAX: u32 = 1000;
        let (from, mut parent) = io::pipe().expect("a pipe");
        let (to, _peer) = UnixStream::pair().expect("sockets");
        parent.write_all(b"unread").expect("it fits");
        drop(parent);
        let (hangups, tries) = (Cell::new(0), Cell::new(0));
        // Takes nothing before the hang-up is noticed.
        let write = |bytes: &[u8]| {
            tries.set(tries.get() + 1);
            match hangups.get() > 0 || tries.get() == TRIES_MAX {
                true => Ok(bytes.len()),
                false => Err(Errno::AGAIN),
            }
        };
        let on_hangup = || hangups.set(hangups.get() + 1);
        let carried = carry(from.as_fd(), (to.as_fd(), write), on_hangup);
        assert!(carried.is_ok(), "{carried:?}");
        assert_eq!(hangups.get(), 1);
    }
}
