//! The client's side of WebSocket: bytes of a server in, messages out (RFC 6455).
//!
//! No socket, no clock. The caller's contract is that of
//! [`ResponseReader`](corelane_protocol::framing::http1::ResponseReader).

use super::connection_fault::ConnectionFault;
use corelane_protocol::framing::http1::{
    MESSAGE_BYTES_MAX, RESPONSE_HEAD_BYTES_MAX, ResponseFault,
};
use corelane_protocol::framing::websocket::{Framer, Role, Step};
use memchr::memmem;

/// One thing that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketItem<'a> {
    /// The handshake is complete.
    Upgraded,
    /// A whole message.
    Message(&'a [u8]),
    /// A ping, which is to be answered with its payload.
    Ping(&'a [u8]),
}

/// Reads the messages of one connection.
#[derive(Debug, Default)]
pub struct SocketReader {
    /// There is none before the end of the handshake.
    framer: Option<Framer>,
    /// The start of a message that is not whole.
    message: Vec<u8>,
}

impl SocketReader {
    /// Reads all whole items of `input`, hands them to `sink`, and returns how many bytes it
    /// consumed.
    ///
    /// # Errors
    /// [`ConnectionFault`]; nothing more can be read from this connection.
    pub fn read(
        &mut self,
        input: &mut [u8],
        sink: &mut impl FnMut(SocketItem<'_>),
    ) -> Result<usize, ConnectionFault> {
        let mut consumed = 0;
        if self.framer.is_none() {
            consumed = match memmem::find(input, b"\r\n\r\n") {
                Some(_) if !input.starts_with(b"HTTP/1.1 101 ") => {
                    return Err(ConnectionFault::NotUpgraded);
                }
                Some(end) => end + 4,
                None if input.len() > RESPONSE_HEAD_BYTES_MAX => {
                    return Err(ResponseFault::HeadBytes.into());
                }
                None => return Ok(0),
            };
            sink(SocketItem::Upgraded);
        }
        let framer = self.framer.get_or_insert_with(|| Framer::new(Role::Client));
        loop {
            let step = framer.step(&mut input[consumed..], MESSAGE_BYTES_MAX);
            consumed += match step.map_err(ConnectionFault::WebSocket)? {
                Step::NeedMore => return Ok(consumed),
                Step::Message {
                    payload, consumed, ..
                } => {
                    sink(SocketItem::Message(payload));
                    consumed
                }
                Step::Part {
                    payload,
                    is_last,
                    consumed,
                    ..
                } => {
                    self.message.extend_from_slice(payload);
                    if is_last {
                        sink(SocketItem::Message(&self.message));
                        self.message = Vec::new();
                    }
                    consumed
                }
                Step::Ping { payload, consumed } => {
                    sink(SocketItem::Ping(payload));
                    consumed
                }
                Step::Pong { consumed, .. } => consumed,
                Step::Close(_) => return Err(ConnectionFault::Closed),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SocketItem, SocketReader};
    use crate::load::connection_fault::ConnectionFault;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    /// The items of a stream that arrives in pieces, as text.
    fn read(stream: &[u8], piece: usize) -> Result<Vec<String>, ConnectionFault> {
        let (mut reader, mut unread, mut items) = (SocketReader::default(), Vec::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            unread.extend_from_slice(bytes);
            let consumed = reader.read(&mut unread, &mut |item| {
                items.push(match item {
                    SocketItem::Upgraded => "upgraded".to_owned(),
                    SocketItem::Message(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    SocketItem::Ping(bytes) => format!("ping {}", bytes.len()),
                });
            })?;
            unread.drain(..consumed);
        }
        Ok(items)
    }

    #[test]
    fn messages_and_pings_follow_the_handshake_however_they_are_split() {
        let frames = b"\x81\x02{}\x89\x01p\x01\x01[\x8a\x00\x80\x01]";
        let stream = [HEAD, frames].concat();
        for piece in [1, 3, stream.len()] {
            let items = read(&stream, piece).expect("no fault");
            assert_eq!(items, ["upgraded", "{}", "ping 1", "[]"], "{piece}");
        }
    }

    #[test]
    fn faults_end_the_connection() {
        let refused = b"HTTP/1.1 403 Forbidden\r\n\r\n";
        assert_eq!(read(refused, 7), Err(ConnectionFault::NotUpgraded));
        let closed = [HEAD, b"\x88\x02\x03\xe9"].concat();
        assert_eq!(read(&closed, 7), Err(ConnectionFault::Closed));
        let masked = [HEAD, b"\x81\x82"].concat();
        assert!(matches!(
            read(&masked, 7),
            Err(ConnectionFault::WebSocket(_))
        ));
    }
}
