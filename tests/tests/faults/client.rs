//! A client with little overhead: raw bytes out, responses in, and sudden ends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use corelane_tests::PATIENCE;
use corelane_tests::http::{Framing, Head};
use corelane_tests::request::Request;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

/// The address of clients that misbehave. The probe has another one: a server gives each address a
/// share of its tables.
pub(crate) const CULPRIT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A connection that misbehaves or is one of very many.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    /// Connects from the address of culprits.
    pub(crate) fn open(server: SocketAddr) -> Client {
        Client::open_from(CULPRIT, server).unwrap_or_else(|error| panic!("cannot connect: {error}"))
    }

    pub(crate) fn open_from(source: Ipv4Addr, server: SocketAddr) -> io::Result<Client> {
        Client::connect(socket(source)?, server)
    }

    /// Connects with a receive buffer of 4 KiB, the least that is usual.
    pub(crate) fn open_narrow(server: SocketAddr) -> io::Result<Client> {
        let socket = socket(CULPRIT)?;
        socket.set_recv_buffer_size(4096)?;
        Client::connect(socket, server)
    }

    fn connect(socket: Socket, server: SocketAddr) -> io::Result<Client> {
        socket.connect_timeout(&server.into(), PATIENCE)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            input: Vec::new(),
        })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends as many bytes as the server takes at once, and returns their number.
    pub(crate) fn send_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let sent = match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        };
        self.stream.set_nonblocking(false)?;
        sent
    }

    /// Reads the next response: its status and body.
    pub(crate) fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let malformed = |text| io::Error::new(ErrorKind::InvalidData, text);
        loop {
            if let Some((head, head_bytes)) = Head::parse(&self.input).map_err(malformed)? {
                let Framing::Length(length) = head.framing().map_err(malformed)? else {
                    return Err(malformed(format!("a body without length: {head:?}")));
                };
                if self.input.len() >= head_bytes + length {
                    let rest = self.input.split_off(head_bytes + length);
                    let body = self.input.split_off(head_bytes);
                    self.input = rest;
                    return Ok((head.status, body));
                }
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&bytes[..count]),
            }
        }
    }

    /// The next response within `time`; none if there is not one yet.
    pub(crate) fn answer_within(&mut self, time: Duration) -> io::Result<Option<(u16, Vec<u8>)>> {
        self.stream.set_read_timeout(Some(time))?;
        let answer = match self.answer() {
            Err(error) if is_timeout(&error) => Ok(None),
            answer => answer.map(Some),
        };
        self.stream.set_read_timeout(Some(PATIENCE))?;
        answer
    }

    /// The next response is a result of the request with this id.
    ///
    /// # Panics
    /// If it is another one.
    #[track_caller]
    pub(crate) fn expect_result(&mut self, id: &Value) -> Value {
        let (status, body) = self
            .answer()
            .unwrap_or_else(|error| panic!("no answer to {id}: {error}"));
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{id}: {text}");
        let mut answer: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(answer["id"], *id, "{text}");
        assert!(answer["result"].is_object(), "{text}");
        answer["result"].take()
    }

    /// Waits for the first byte of a response and leaves it unread.
    pub(crate) fn wait_for_byte(&self) -> io::Result<usize> {
        self.stream.peek(&mut [0])
    }

    /// Ends the connection with a RST.
    pub(crate) fn reset(self) {
        let socket = Socket::from(self.stream);
        // Fails only for a connection that is gone.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

fn socket(source: impl Into<IpAddr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source.into(), 0).into())?;
    Ok(socket)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The bytes of a modern call of a tool.
pub(crate) fn call(server: SocketAddr, id: &Value, tool: &str, arguments: Value) -> Vec<u8> {
    let params = json!({ "name": tool, "arguments": arguments });
    Request::modern(id.clone(), "tools/call", params).to_bytes(server)
}

/// The bytes of a modern call of `echo`.
pub(crate) fn echo(server: SocketAddr, id: &Value, message: &str) -> Vec<u8> {
    call(server, id, "echo", json!({ "message": message }))
}

/// The bytes of a modern call of `sleep`.
pub(crate) fn sleep(server: SocketAddr, id: &Value, ms: u64) -> Vec<u8> {
    call(server, id, "sleep", json!({ "ms": ms }))
}
