//! One connection of the generator, without its socket: the requests in flight on it, and the
//! meaning of the bytes that arrive.
//!
//! HTTP/1.1 answers in the order of the requests, so the bytes that arrive belong to the oldest
//! request in flight. On WebSocket and on lines an answer belongs to the request with its id.
//! [`Client::take`] turns bytes into [`Event`]s; the worker acts on them.

use super::answer::{Checker, Ending};
use super::connection_fault::ConnectionFault;
use super::script::ID_DIGITS;
use super::socket_reader::{SocketItem, SocketReader};
use super::tally::Failure;
use super::target::Wire;
use super::tls::Tls;
use corelane_protocol::framing::http1::{HeadCache, Item, MediaType, ResponseReader};
use memchr::{memmem, memrchr};
use serde_json::Value as Json;
use std::collections::VecDeque;

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The handshake of WebSocket.
    Upgrade,
    /// `initialize`.
    Initialize,
    /// `notifications/initialized`.
    Initialized,
    /// A request of the mix, by its place there.
    Request(usize),
    /// Ends a session.
    Delete,
    /// Opens a stream that stays open: GET, or `subscriptions/listen`.
    Stream,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Its purpose.
    pub purpose: Purpose,
    /// Its id.
    pub id: u64,
    /// When it was due, in nanoseconds since the run's epoch.
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// Whether it is given up once it is sent.
    pub is_aborted: bool,
}

/// An event that received bytes caused.
#[derive(Debug)]
pub enum Event {
    /// The oldest exchange is over.
    Done {
        /// Which.
        exchange: Exchange,
        /// How it ended.
        ending: Ending,
        /// The session that the answer names.
        session: Option<String>,
        /// Whether the server closes the connection behind it.
        closes: bool,
    },
    /// A ping came, with this payload.
    Ping(Vec<u8>),
    /// TLS has these bytes for the server, which are not sealed.
    Records(Vec<u8>),
    /// The handshake of TLS is over.
    Secured,
    /// The stream is open: from here on it brings notifications.
    StreamOpen,
    /// A notification came on the stream.
    Notification(String),
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The kernel connects, or the handshake of TLS is under way.
    Connecting,
    /// The session is being opened, or the first call of a held connection is made.
    Opening,
    /// It makes requests.
    Open,
    /// It holds an open stream.
    Streaming,
}

/// See the module's text.
#[derive(Debug)]
pub struct Client {
    /// Where it stands.
    pub stage: Stage,
    /// When connecting began.
    pub since_ns: u64,
    /// Requests in flight, oldest first; at most those the run allows and one of a handshake.
    pub in_flight: VecDeque<Exchange>,
    /// Whether the ring has a send of this connection.
    pub is_sending: bool,
    /// Bytes to send after that send completes.
    pub unsent: Vec<u8>,
    /// The session, of 2025-11-25.
    pub session: Option<Box<str>>,
    /// Requests of the mix made on it.
    pub requests: u64,
    /// Requests of the mix made in the session.
    pub session_requests: u64,
    /// The change that came last on its stream, counted from 1.
    pub last_round: u64,
    /// Its records, with TLS.
    pub tls: Option<Box<Tls>>,
    reader: Reader,
    /// An incomplete head, line or frame.
    unread: Vec<u8>,
    current: Current,
}

/// The reader of the bytes of the server.
#[derive(Debug)]
enum Reader {
    Http(ResponseReader),
    WebSocket(SocketReader),
    Lines,
}

/// The answer that is being read.
#[derive(Debug, Default)]
struct Current {
    status: u16,
    closes: bool,
    is_stream: bool,
    session: Option<String>,
    ending: Option<Ending>,
}

impl Client {
    /// A connection that is being made.
    pub fn connecting(wire: Wire, now_ns: u64) -> Client {
        Client {
            stage: Stage::Connecting,
            since_ns: now_ns,
            in_flight: VecDeque::new(),
            is_sending: false,
            unsent: Vec::new(),
            session: None,
            requests: 0,
            session_requests: 0,
            last_round: 0,
            tls: None,
            reader: match wire {
                Wire::Http => Reader::Http(ResponseReader::default()),
                Wire::WebSocket => Reader::WebSocket(SocketReader::default()),
                Wire::Lines => Reader::Lines,
            },
            unread: Vec::new(),
            current: Current::default(),
        }
    }

    /// Takes received bytes and appends the events they cause to `events`.
    ///
    /// # Errors
    /// [`ConnectionFault`]: the connection is of no use any more.
    pub fn take(
        &mut self,
        bytes: &mut [u8],
        heads: &mut HeadCache,
        checkers: &mut Checkers,
        events: &mut Vec<Event>,
    ) -> Result<(), ConnectionFault> {
        let Some(tls) = &mut self.tls else {
            return self.read(bytes, heads, checkers, events);
        };
        let (mut plaintext, mut out) = (Vec::new(), Vec::new());
        let taken = tls.take(bytes, &mut plaintext, &mut out);
        if !out.is_empty() {
            events.push(Event::Records(out));
        }
        if taken? && self.stage == Stage::Connecting {
            events.push(Event::Secured);
        }
        self.read(&mut plaintext, heads, checkers, events)
    }

    /// The same for plaintext.
    fn read(
        &mut self,
        bytes: &mut [u8],
        heads: &mut HeadCache,
        checkers: &mut Checkers,
        events: &mut Vec<Event>,
    ) -> Result<(), ConnectionFault> {
        let is_first = self.unread.is_empty();
        if !is_first {
            self.unread.extend_from_slice(bytes);
        }
        let input = match is_first {
            true => &mut *bytes,
            false => &mut self.unread,
        };
        let (current, in_flight) = (&mut self.current, &mut self.in_flight);
        let consumed = match &mut self.reader {
            Reader::Http(reader) => reader.read(heads, input, &mut |item| {
                current.take(item, in_flight, checkers, events);
            })?,
            Reader::WebSocket(reader) => reader.read(input, &mut |item| {
                take_from_channel(item, in_flight, checkers, events);
            })?,
            Reader::Lines => {
                let whole = memrchr(b'\n', input).map_or(0, |end| end + 1);
                for line in input[..whole].split(|byte| *byte == b'\n') {
                    if !line.is_empty() {
                        let item = SocketItem::Message(line);
                        take_from_channel(item, in_flight, checkers, events);
                    }
                }
                whole
            }
        };
        match is_first {
            true => self.unread.extend_from_slice(&bytes[consumed..]),
            false => drop(self.unread.drain(..consumed)),
        }
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Ok(())
    }

    /// Says that the server sends no more.
    ///
    /// # Errors
    /// [`ConnectionFault`] if an answer is not whole.
    pub fn finish(
        &mut self,
        checkers: &mut Checkers,
        events: &mut Vec<Event>,
    ) -> Result<(), ConnectionFault> {
        let (current, in_flight) = (&mut self.current, &mut self.in_flight);
        let mut sink = |item: Item<'_>| current.take(item, in_flight, checkers, events);
        match &mut self.reader {
            Reader::Http(reader) => Ok(reader.finish(&self.unread, &mut sink)?),
            Reader::WebSocket(_) | Reader::Lines => Ok(()),
        }
    }
}

/// The checkers of a run; one for each kind of request.
#[derive(Clone, Debug)]
pub struct Checkers {
    /// Of `initialize`.
    pub initialize: Checker,
    /// Of the mix's kinds, in its order.
    pub kinds: Vec<Checker>,
    /// Whether all answers have the same id, so that each belongs to the oldest request.
    pub has_fixed_ids: bool,
}

impl Current {
    fn take(
        &mut self,
        item: Item<'_>,
        in_flight: &mut VecDeque<Exchange>,
        checkers: &mut Checkers,
        events: &mut Vec<Event>,
    ) {
        match item {
            Item::Head(head) => {
                let oldest = in_flight.front().map(|exchange| exchange.purpose);
                *self = Current {
                    status: head.status,
                    closes: head.closes,
                    is_stream: oldest == Some(Purpose::Stream)
                        && head.status == 200
                        && head.media_type == MediaType::Events,
                    session: head.session.clone(),
                    ending: None,
                };
                // A GET's stream is open with its head; a listen has an acknowledgement to come.
                let is_get = in_flight.front().is_some_and(|exchange| exchange.id == 0);
                if self.is_stream && is_get {
                    events.push(Event::StreamOpen);
                }
            }
            Item::Message(message) if self.is_stream => events.extend(stream_event(message)),
            Item::Message(message) => {
                if let Some(exchange) = in_flight.front() {
                    self.check(*exchange, message, checkers);
                }
            }
            Item::Endpoint(_) => {}
            Item::End => self.end(in_flight, events),
        }
    }

    fn check(&mut self, exchange: Exchange, message: &[u8], checkers: &mut Checkers) {
        let checker = match exchange.purpose {
            Purpose::Request(kind) => &mut checkers.kinds[kind],
            Purpose::Initialize => &mut checkers.initialize,
            // No answer is expected; the text of an error helps in the error line.
            _ => {
                let text = String::from_utf8_lossy(&message[..message.len().min(200)]);
                self.ending = Some(self.failed(Failure::Http, &text));
                return;
            }
        };
        let ending = match checker.check(exchange.id, message) {
            None => return,
            Some(Ending::Failed(Failure::WrongAnswer, line)) if self.status >= 400 => {
                self.failed(Failure::Http, &line)
            }
            Some(ending) => ending,
        };
        // The answer counts; later messages on its stream do not.
        self.ending.get_or_insert(ending);
    }

    fn end(&mut self, in_flight: &mut VecDeque<Exchange>, events: &mut Vec<Event>) {
        // An answer without a request is ignored.
        let Some(exchange) = in_flight.pop_front() else {
            return;
        };
        let is_accepted = match exchange.purpose {
            Purpose::Initialized => (200..300).contains(&self.status),
            // A server may refuse to end sessions on demand: MCP 2025-11-25, basic/transports.
            Purpose::Delete => (200..300).contains(&self.status) || self.status == 405,
            _ => false,
        };
        let ending = match self.ending.take() {
            _ if is_accepted => Ending::CORRECT,
            Some(ending) => ending,
            None if self.status >= 400 => self.failed(Failure::Http, "no message"),
            None => self.failed(Failure::WrongAnswer, "no answer in it"),
        };
        events.push(Event::Done {
            exchange,
            ending,
            session: self.session.take(),
            closes: self.closes,
        });
    }

    fn failed(&self, failure: Failure, line: &str) -> Ending {
        Ending::Failed(failure, format!("status {}: {line}", self.status))
    }
}

/// The messages of a channel: answers in any order, and notifications.
fn take_from_channel(
    item: SocketItem<'_>,
    in_flight: &mut VecDeque<Exchange>,
    checkers: &mut Checkers,
    events: &mut Vec<Event>,
) {
    let message = match item {
        SocketItem::Message(message) => message,
        SocketItem::Ping(payload) => return events.push(Event::Ping(payload.to_vec())),
        SocketItem::Upgraded => {
            events.extend(in_flight.pop_front().map(|it| done(it, Ending::CORRECT)));
            return;
        }
    };
    let exchange = match checkers.has_fixed_ids {
        true => in_flight.pop_front(),
        false => {
            let id = id_of(message);
            let at = in_flight.iter().position(|it| Some(it.id) == id);
            at.and_then(|at| in_flight.remove(at))
        }
    };
    let Some(exchange) = exchange else {
        return events.extend(stream_event(message));
    };
    let checker = match exchange.purpose {
        Purpose::Request(kind) => &mut checkers.kinds[kind],
        Purpose::Initialize => &mut checkers.initialize,
        _ => {
            let text = String::from_utf8_lossy(&message[..message.len().min(200)]);
            let ending = Ending::Failed(Failure::Protocol, text.into_owned());
            return events.push(done(exchange, ending));
        }
    };
    match checker.check(exchange.id, message) {
        Some(ending) => events.push(done(exchange, ending)),
        // A request of the server's, with an id like ours.
        None => in_flight.push_front(exchange),
    }
}

fn done(exchange: Exchange, ending: Ending) -> Event {
    Event::Done {
        exchange,
        ending,
        session: None,
        closes: false,
    }
}

/// The id at the start of a message, or anywhere at its top.
fn id_of(message: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"id\":";
    /// How far the id is from the start where a server writes it before the rest.
    const START_BYTES: usize = 64;
    let start = &message[..message.len().min(START_BYTES)];
    if let Some(at) = memmem::find(start, KEY)
        && let Some(digits) = start.get(at + KEY.len()..at + KEY.len() + ID_DIGITS)
        && let Ok(id) = str::from_utf8(digits).unwrap_or_default().parse()
    {
        return Some(id);
    }
    let message: Json = serde_json::from_slice(message).ok()?;
    message.get("id")?.as_u64()
}

/// The event of a message on a stream; a stream may also bring the answer that ends it.
fn stream_event(message: &[u8]) -> Option<Event> {
    let message: Json = serde_json::from_slice(message).ok()?;
    let method = message.get("method")?.as_str()?;
    Some(match method {
        "notifications/subscriptions/acknowledged" => Event::StreamOpen,
        _ => Event::Notification(method.to_owned()),
    })
}

#[cfg(test)]
mod tests;
