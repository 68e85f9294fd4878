//! A channel of lines: one message on each, over TCP, a Unix socket or a pair of pipes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use crate::client::{Channel, Client};
use crate::timeouts::PATIENCE;

/// Lines over a byte stream.
#[derive(Debug)]
pub struct Lines {
    /// Until it is closed.
    input: Option<File>,
    output: Option<File>,
    /// Whether the two are one socket.
    is_socket: bool,
    /// Bytes received that are not yet a whole line.
    partial: Vec<u8>,
}

impl Lines {
    /// Lines over two pipes: to the server, and from it.
    #[must_use]
    pub fn over_pipes(input: OwnedFd, output: OwnedFd) -> Lines {
        Lines {
            input: Some(input.into()),
            output: Some(output.into()),
            is_socket: false,
            partial: Vec::new(),
        }
    }

    /// Connects to an address of a server, such as `tcp://127.0.0.1:9000` or `unix:///run/socket`.
    ///
    /// # Errors
    /// The server takes no connections.
    ///
    /// # Panics
    /// If the address is of another kind.
    pub fn connect(address: &str) -> io::Result<Lines> {
        let (scheme, place) = address.split_once("://").expect("it has a scheme");
        let socket: OwnedFd = match (scheme, place.strip_prefix('@')) {
            ("tcp", _) => {
                let place: SocketAddr = place.parse().expect("an address");
                let stream = TcpStream::connect_timeout(&place, PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.into()
            }
            ("unix", None) => UnixStream::connect(place)?.into(),
            ("unix", Some(name)) => {
                UnixStream::connect_addr(&UnixAddress::from_abstract_name(name)?)?.into()
            }
            _ => panic!("{address} has no lines"),
        };
        Lines::over_socket(socket)
    }

    /// Lines over a socket that is connected.
    ///
    /// # Errors
    /// Its descriptor cannot be copied.
    pub fn over_socket(socket: OwnedFd) -> io::Result<Lines> {
        SockRef::from(&socket).set_write_timeout(Some(PATIENCE))?;
        Ok(Lines {
            input: Some(socket.try_clone()?.into()),
            output: Some(socket.into()),
            is_socket: true,
            partial: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The server takes no more, or sending was finished.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        input.write_all(bytes)
    }

    /// Bytes from the server as they are, at least one until its end.
    ///
    /// # Errors
    /// None come until `deadline`, or the connection broke.
    pub fn receive_bytes(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let output = self.output.as_mut().ok_or(ErrorKind::NotConnected)?;
        if !is_readable(output.as_fd(), deadline) {
            return Err(ErrorKind::TimedOut.into());
        }
        let mut piece = vec![0; 1 << 16];
        let count = output.read(&mut piece)?;
        piece.truncate(count);
        Ok(piece)
    }

    /// The descriptor that is read from, for operations that this type lacks.
    ///
    /// # Panics
    /// If it was closed.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.output.as_ref().expect("it is open").as_fd()
    }

    /// Receives nothing more.
    pub fn close_output(&mut self) {
        self.output = None;
    }
}

impl Channel for Lines {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.send_bytes(&[message, b"\n"].concat())
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        // Only the bytes that arrived last may have an end of a line.
        let mut searched = 0;
        loop {
            let mut unsearched = self.partial[searched..].iter();
            if let Some(end) = unsearched.position(|byte| *byte == b'\n') {
                let rest = self.partial.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.partial, rest);
                line.pop();
                return Ok(Some(line));
            }
            searched = self.partial.len();
            let piece = self.receive_bytes(deadline)?;
            match (piece.is_empty(), self.partial.is_empty()) {
                (true, true) => return Ok(None),
                (true, false) => return Err(ErrorKind::UnexpectedEof.into()),
                (false, _) => self.partial.extend_from_slice(&piece),
            }
        }
    }

    fn finish(&mut self) {
        if let Some(input) = self.input.take()
            && self.is_socket
        {
            // A connection that is closed already has finished sending.
            let _ = SockRef::from(&input).shutdown(Shutdown::Write);
        }
    }
}

impl Client<Lines> {
    /// A client over lines at an address of a server.
    ///
    /// # Panics
    /// If the server takes no connections.
    #[must_use]
    pub fn of_lines(address: &str) -> Client<Lines> {
        let channel = Lines::connect(address);
        Client::over(channel.unwrap_or_else(|error| panic!("cannot connect: {error}")))
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the server takes none.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = self.channel().send_bytes(bytes);
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }
}

fn is_readable(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let wait = Timespec::try_from(left).expect("seconds fit");
    matches!(poll(&mut polled, Some(&wait)), Ok(1))
}
