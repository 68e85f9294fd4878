//! A server that returns each message, on the framer of the engine and plain sockets.
//!
//! It takes binary messages too, which the engine refuses: the cases of Autobahn send them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use corelane_protocol::binding::websocket::handshake;
use corelane_protocol::framing::http1;
use corelane_protocol::framing::websocket::{
    Framer, Kind, Opcode, Role, Step, write_close, write_frame,
};
use corelane_protocol::limits::HttpLimits;

/// The longest message of Autobahn, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Starts the server on a thread of its own, for as long as the process lives.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A peer that ends a connection in its own way is no fault of the server.
            thread::spawn(move || serve(stream?));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (mut input, mut out, mut message) = (Vec::new(), Vec::new(), Vec::new());
    let mut consumed = shake_hands(&mut stream, &mut input)?;
    let mut framer = Framer::new(Role::Server);
    loop {
        consumed += match framer.step(&mut input[consumed..], MESSAGE_BYTES_MAX) {
            Ok(Step::NeedMore) => {
                stream.write_all(&out)?;
                out.clear();
                input.drain(..consumed);
                read_more(&mut stream, &mut input)?;
                consumed = 0;
                0
            }
            Ok(Step::Message {
                kind,
                payload,
                consumed,
            }) => {
                write_frame(&mut out, opcode(kind), payload, None);
                consumed
            }
            Ok(Step::Part {
                kind,
                payload,
                is_last,
                consumed,
            }) => {
                message.extend_from_slice(payload);
                if is_last {
                    write_frame(&mut out, opcode(kind), &message, None);
                    message.clear();
                }
                consumed
            }
            Ok(Step::Ping { payload, consumed }) => {
                write_frame(&mut out, Opcode::Pong, payload, None);
                consumed
            }
            Ok(Step::Pong { consumed, .. }) => consumed,
            Ok(Step::Close(close)) => {
                let code = close.code.map(u16::to_be_bytes);
                let payload = code.as_ref().map_or(&[][..], |code| code);
                write_frame(&mut out, Opcode::Close, payload, None);
                return finish(stream, &out);
            }
            Err(fault) => {
                write_close(&mut out, fault.code(), &fault.to_string(), None);
                return finish(stream, &out);
            }
        }
    }
}

/// Completes the opening handshake. Returns the number of its bytes in `input`.
fn shake_hands(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        let mut framer = http1::Framer::default();
        let step = framer.step(input, &HttpLimits::DEFAULT);
        if let http1::Step::Request { head, consumed, .. } = step.map_err(io::Error::other)? {
            let handshake = handshake(&head).map_err(|it| io::Error::other(it.to_string()))?;
            let accept = String::from_utf8_lossy(&handshake.accept);
            write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )?;
            return Ok(consumed);
        }
        read_more(stream, input)?;
    }
}

/// Sends the last bytes and waits for the end of the peer.
fn finish(mut stream: TcpStream, out: &[u8]) -> io::Result<()> {
    stream.write_all(out)?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

fn opcode(kind: Kind) -> Opcode {
    match kind {
        Kind::Text => Opcode::Text,
        Kind::Binary => Opcode::Binary,
    }
}

/// Appends what arrives, as much as a receive buffer of the engine holds or more.
fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<()> {
    const READ_BYTES: usize = 64 * 1024;
    let start = input.len();
    input.resize(start + READ_BYTES, 0);
    let bytes = stream.read(&mut input[start..])?;
    input.truncate(start + bytes);
    match bytes {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
