//! One TCP connection to a server: bytes out, responses in, each wait with a deadline.
//!
//! A schema checker sees all bytes and fails the test as soon as a message arrives that does not
//! fit the schema of its revision.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use crate::http::{Framing, Head, Response, next_chunk};
use crate::link::Link;
use crate::request::Request;
use crate::schema_checker::SchemaChecker;
use crate::timeouts::PATIENCE;

/// Why no response came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing, or not enough, arrived in time.
    TimedOut,
    /// The server closed between two responses.
    Closed,
    /// The server closed in the middle of a response.
    ClosedWithin,
    /// The server reset the connection.
    Reset,
    /// The received bytes are not a response.
    Malformed(String),
}

/// A connection to a server.
pub struct Connection {
    link: Link,
    address: SocketAddr,
    input: Vec<u8>,
    consumed: usize,
    checker: SchemaChecker,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unread = &self.input[self.consumed..];
        let text = String::from_utf8_lossy(&unread[..unread.len().min(500)]).into_owned();
        formatter
            .debug_struct("Connection")
            .field("unread", &text)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The server takes no connections.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        Connection::over(Link::plain(socket), address)
    }

    /// Connects from the address `source` of this host.
    ///
    /// # Errors
    /// The address is not of this host, or the server takes no connections.
    pub fn open_from(source: IpAddr, address: SocketAddr) -> io::Result<Connection> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Connection::over(Link::plain(socket.into()), address)
    }

    /// Connects with TLS.
    ///
    /// # Errors
    /// The server takes no connections.
    pub fn open_secured(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Connection> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        Connection::over(Link::secured(socket, config), address)
    }

    fn over(link: Link, address: SocketAddr) -> io::Result<Connection> {
        link.socket().set_nodelay(true)?;
        link.socket().set_write_timeout(Some(PATIENCE))?;
        Ok(Connection {
            link,
            address,
            input: Vec::new(),
            consumed: 0,
            checker: SchemaChecker::default(),
        })
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket itself, for operations that this type lacks.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.link.socket()
    }

    /// The TLS connection, if there is one.
    #[must_use]
    pub fn tls(&self) -> Option<&ClientConnection> {
        self.link.tls()
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the server takes no more.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes)
            .unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The server takes no more.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        // The answer may be there before the last byte is sent.
        self.checker.sent(bytes);
        self.link.write_all(bytes)
    }

    /// Sends as much of `bytes` as the server takes before the socket's write timeout, and returns
    /// their number.
    ///
    /// # Errors
    /// The server takes none.
    pub fn try_send_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.link.write(bytes)?;
        self.checker.sent(&bytes[..count]);
        Ok(count)
    }

    /// Sends a request and does not wait for its answer.
    pub fn send(&mut self, request: &Request) {
        let bytes = request.to_bytes(self.address);
        self.send_bytes(&bytes);
    }

    /// Ends the sending side; reading continues.
    pub fn finish_sending(&mut self) {
        self.link.finish_sending();
    }

    /// Sends a request and reads its answer.
    ///
    /// # Panics
    /// If no whole response comes in time.
    pub fn exchange(&mut self, request: &Request) -> Response {
        self.send(request);
        self.read_response()
    }

    /// Reads the next response.
    ///
    /// # Panics
    /// If no whole response comes in time.
    pub fn read_response(&mut self) -> Response {
        self.try_read_response(PATIENCE)
            .unwrap_or_else(|error| panic!("{error:?} on {self:?}"))
    }

    /// Reads the next response within `timeouts`. Bytes that arrived before a timeout are kept.
    ///
    /// # Errors
    /// [`ReadError`] says why there is none.
    pub fn try_read_response(&mut self, timeouts: Duration) -> Result<Response, ReadError> {
        let deadline = Instant::now() + timeouts;
        loop {
            if let Some((response, consumed)) = self.parse_buffered(false)? {
                self.consumed += consumed;
                return Ok(response);
            }
            match self.read_more(deadline) {
                Err(ReadError::Closed) => return self.read_last(),
                other => other?,
            }
        }
    }

    /// The response that the end of the connection ends.
    fn read_last(&mut self) -> Result<Response, ReadError> {
        if self.consumed == self.input.len() {
            return Err(ReadError::Closed);
        }
        let (response, consumed) = self.parse_buffered(true)?.ok_or(ReadError::ClosedWithin)?;
        self.consumed += consumed;
        Ok(response)
    }

    fn parse_buffered(&self, is_closed: bool) -> Result<Option<(Response, usize)>, ReadError> {
        let bytes = &self.input[self.consumed..];
        let Some((head, head_bytes)) = Head::parse(bytes).map_err(ReadError::Malformed)? else {
            return Ok(None);
        };
        let rest = &bytes[head_bytes..];
        let whole = match head.framing().map_err(ReadError::Malformed)? {
            Framing::Length(length) => rest.get(..length).map(|body| (body.to_vec(), length)),
            Framing::UntilClose => is_closed.then(|| (rest.to_vec(), rest.len())),
            Framing::Chunked => {
                let (mut body, mut at) = (Vec::new(), 0);
                loop {
                    match next_chunk(&rest[at..]).map_err(ReadError::Malformed)? {
                        None => break None,
                        Some((data, consumed)) => {
                            body.extend_from_slice(data);
                            at += consumed;
                            if data.is_empty() {
                                break Some((body, at));
                            }
                        }
                    }
                }
            }
        };
        Ok(whole.map(|(body, consumed)| (Response { head, body }, head_bytes + consumed)))
    }

    /// Reads the head of the next response and leaves its body.
    ///
    /// # Errors
    /// [`ReadError`] says why there is none.
    pub fn read_head(&mut self) -> Result<Head, ReadError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let parsed = Head::parse(&self.input[self.consumed..]);
            if let Some((head, consumed)) = parsed.map_err(ReadError::Malformed)? {
                self.consumed += consumed;
                return Ok(head);
            }
            self.read_more(deadline)?;
        }
    }

    /// Reads the body that follows a head.
    ///
    /// # Errors
    /// [`ReadError`] says why it is not whole.
    pub fn read_body(&mut self, head: Head) -> Result<Response, ReadError> {
        let deadline = Instant::now() + PATIENCE;
        let mut body = Vec::new();
        match head.framing().map_err(ReadError::Malformed)? {
            Framing::Length(length) => {
                while self.input.len() - self.consumed < length {
                    self.read_more(deadline)?;
                }
                body.extend_from_slice(&self.input[self.consumed..][..length]);
                self.consumed += length;
            }
            Framing::Chunked => loop {
                let chunk = self.read_chunk(PATIENCE)?;
                if chunk.is_empty() {
                    break;
                }
                body.extend_from_slice(&chunk);
            },
            Framing::UntilClose => body = self.read_to_close(PATIENCE)?,
        }
        Ok(Response { head, body })
    }

    /// Reads the next chunk of a body; the last one is empty.
    ///
    /// # Errors
    /// [`ReadError`] says why there is none.
    pub fn read_chunk(&mut self, timeouts: Duration) -> Result<Vec<u8>, ReadError> {
        let deadline = Instant::now() + timeouts;
        loop {
            let parsed = next_chunk(&self.input[self.consumed..]).map_err(ReadError::Malformed)?;
            if let Some((data, consumed)) = parsed {
                let data = data.to_vec();
                self.consumed += consumed;
                return Ok(data);
            }
            self.read_more(deadline)?;
        }
    }

    /// Waits for the server to close, for `timeouts`, and returns the bytes that it sent before.
    ///
    /// # Errors
    /// It stays open, or was reset.
    pub fn read_to_close(&mut self, timeouts: Duration) -> Result<Vec<u8>, ReadError> {
        let deadline = Instant::now() + timeouts;
        loop {
            match self.read_more(deadline) {
                Ok(()) => {}
                Err(ReadError::Closed) => {
                    let rest = self.input[self.consumed..].to_vec();
                    self.consumed = self.input.len();
                    return Ok(rest);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The server closes without sending more.
    ///
    /// # Panics
    /// If it stays open, resets, or sends more.
    pub fn expect_close(&mut self) {
        match self.read_to_close(PATIENCE) {
            Ok(rest) if rest.is_empty() => {}
            other => panic!("expected an orderly close, found {other:?} on {self:?}"),
        }
    }

    /// Whether something unread, or the end, is there now.
    #[must_use]
    pub fn has_call_events(&mut self) -> bool {
        if self.consumed < self.input.len() {
            return true;
        }
        match self.read_more(Instant::now()) {
            Err(ReadError::TimedOut) => false,
            Ok(()) | Err(_) => true,
        }
    }

    /// Reads once, until `deadline` at the latest.
    fn read_more(&mut self, deadline: Instant) -> Result<(), ReadError> {
        const READ_BYTES: usize = 64 * 1024;
        if self.consumed == self.input.len() {
            self.input.clear();
            self.consumed = 0;
        }
        // A timeout of zero would mean none.
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.link
            .socket()
            .set_read_timeout(Some(left))
            .expect("a timeout above zero is valid");
        let start = self.input.len();
        self.input.resize(start + READ_BYTES, 0);
        let read = self.link.read(&mut self.input[start..]);
        self.input
            .truncate(start + read.as_ref().map_or(0, |bytes| *bytes));
        self.checker.received(&self.input[start..]);
        match read {
            Ok(0) => {
                self.checker.closed();
                Err(ReadError::Closed)
            }
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(ReadError::TimedOut)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(_) => Err(ReadError::Reset),
        }
    }
}
