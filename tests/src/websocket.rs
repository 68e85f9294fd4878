//! One WebSocket connection to a server: frames out, frames in, each wait with a deadline.
//!
//! Every message of the server is held to the official schema of its revision when it is read.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::channel_checker::ChannelChecker;
use crate::connection::ReadError;
use crate::http::Head;
use crate::request::LEGACY;
use crate::stdio::initialize;
use crate::timeouts::PATIENCE;

/// First bytes of whole frames.
pub const TEXT: u8 = 0x81;
/// See [`TEXT`].
pub const BINARY: u8 = 0x82;
/// See [`TEXT`].
pub const CLOSE: u8 = 0x88;
/// See [`TEXT`].
pub const PING: u8 = 0x89;
/// See [`TEXT`].
pub const PONG: u8 = 0x8a;

/// The key of the example in RFC 6455 1.3, and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The mask of all frames.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A connection that was upgraded.
#[derive(Debug)]
pub struct WebSocket {
    stream: TcpStream,
    input: Vec<u8>,
    checker: ChannelChecker,
}

/// A frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its first byte.
    pub first: u8,
    /// Its contents.
    pub payload: Vec<u8>,
}

/// The bytes of a frame of a client that starts with `first`.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        bytes @ 0..126 => frame.push(0x80 | bytes as u8),
        bytes @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(bytes as u16).to_be_bytes());
        }
        bytes => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// The head of a handshake, with further header lines.
#[must_use]
pub fn handshake(address: SocketAddr, lines: &str) -> String {
    format!(
        "GET /mcp HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

impl WebSocket {
    /// Connects, and upgrades the connection.
    ///
    /// # Panics
    /// If the server does not complete the handshake.
    #[must_use]
    pub fn open(address: SocketAddr) -> WebSocket {
        WebSocket::open_with(address, "", &[])
    }

    /// Connects with further header lines, and with bytes behind the handshake in its segment.
    ///
    /// # Panics
    /// As [`WebSocket::open`] does.
    #[must_use]
    pub fn open_with(address: SocketAddr, lines: &str, behind: &[u8]) -> WebSocket {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        let mut socket = WebSocket {
            stream,
            input: Vec::new(),
            checker: ChannelChecker::default(),
        };
        let handshake = handshake(address, lines);
        socket.send_bytes(&[handshake.as_bytes(), behind].concat());
        let deadline = Instant::now() + PATIENCE;
        let head = loop {
            let parsed = Head::parse(&socket.input).expect("a head");
            if let Some((head, bytes)) = parsed {
                socket.input.drain(..bytes);
                break head;
            }
            socket
                .read_more(deadline)
                .expect("the handshake is answered");
        };
        assert_eq!(head.status, 101, "{head:?}");
        assert_eq!(head.field("sec-websocket-accept"), Some(ACCEPT), "{head:?}");
        socket
    }

    /// Connects and makes the session of a client with `capabilities`.
    ///
    /// # Panics
    /// If the server makes none.
    #[must_use]
    pub fn open_session(address: SocketAddr, capabilities: &Value) -> WebSocket {
        let mut socket = WebSocket::open(address);
        let answer = socket.exchange(&initialize(LEGACY, capabilities));
        assert_eq!(answer["result"]["protocolVersion"], LEGACY, "{answer}");
        socket.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        socket
    }

    /// The socket itself, for operations that this type lacks.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the server takes none.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = self.try_send_bytes(bytes);
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The server takes no more.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) {
        self.checker.sent(message);
        self.send_bytes(&frame(TEXT, message.to_string().as_bytes()));
    }

    /// The next message of the server.
    ///
    /// # Panics
    /// If none comes in time, or another frame comes.
    pub fn receive(&mut self) -> Value {
        let frame = self.read_frame().expect("a frame");
        assert_eq!(frame.first, TEXT, "{frame:?}");
        let message = serde_json::from_slice(&frame.payload).expect("a message is JSON");
        self.checker.received(&message);
        message
    }

    /// Sends a request and receives its answer, which is the next message.
    ///
    /// # Panics
    /// As [`WebSocket::receive`] does, and if the answer is to another request.
    pub fn exchange(&mut self, request: &Value) -> Value {
        self.send(request);
        let answer = self.receive();
        assert_eq!(answer["id"], request["id"], "{answer}");
        answer
    }

    /// The next frame of the server, which is whole and not masked.
    ///
    /// # Errors
    /// [`ReadError`] says why there is none.
    pub fn read_frame(&mut self) -> Result<Frame, ReadError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((frame, bytes)) = parse(&self.input) {
                self.input.drain(..bytes);
                return Ok(frame);
            }
            self.read_more(deadline)?;
        }
    }

    /// The server sends a close frame with this code, and ends. Frames before it are passed over.
    /// Returns its reason.
    ///
    /// # Panics
    /// If it does not.
    pub fn expect_close(&mut self, code: u16) -> String {
        loop {
            let frame = self.read_frame().expect("a close frame");
            if frame.first != CLOSE {
                continue;
            }
            let (found, reason) = frame.payload.split_first_chunk().expect("a code");
            let reason = String::from_utf8_lossy(reason).into_owned();
            assert_eq!(u16::from_be_bytes(*found), code, "{reason}");
            let end = self.read_more(Instant::now() + PATIENCE);
            assert_eq!(end, Err(ReadError::Closed), "the end of the server's side");
            return reason;
        }
    }

    fn read_more(&mut self, deadline: Instant) -> Result<(), ReadError> {
        const READ_BYTES: usize = 64 * 1024;
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.stream
            .set_read_timeout(Some(left))
            .expect("a timeout above zero is valid");
        let start = self.input.len();
        self.input.resize(start + READ_BYTES, 0);
        let read = self.stream.read(&mut self.input[start..]);
        self.input
            .truncate(start + read.as_ref().map_or(0, |bytes| *bytes));
        match read {
            Ok(0) => Err(ReadError::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => ReadError::TimedOut,
                _ => ReadError::Reset,
            }),
        }
    }
}

/// The frame at the start of `input`, and its length; nothing if it is not whole.
fn parse(input: &[u8]) -> Option<(Frame, usize)> {
    let (first, short) = (*input.first()?, *input.get(1)?);
    assert!(short < 0x80, "a frame of a server has no mask");
    let (bytes, start) = match short {
        126 => (
            usize::from(u16::from_be_bytes(*input[2..].first_chunk()?)),
            4,
        ),
        127 => (u64::from_be_bytes(*input[2..].first_chunk()?) as usize, 10),
        bytes => (usize::from(bytes), 2),
    };
    let payload = input.get(start..start + bytes)?.to_vec();
    Some((Frame { first, payload }, start + bytes))
}
