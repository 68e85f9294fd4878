//! One connection of the generator, without its socket: the requests in flight on it, and the
//! meaning of the bytes that arrive.
//!
//! HTTP/1.1 answers in the order of the requests, so the bytes that arrive belong to the oldest
//! request in flight; a line belongs to the request with its id. [`Client::take`] turns bytes into
//! [`Event`]s; the worker acts on them.

use super::answer::{Checker, Ending};
use super::response::{Content, HeadCache, Item, ResponseFault, ResponseReader};
use super::tally::Failure;
use super::target::Wire;
use serde_json::Value as Json;
use std::collections::VecDeque;

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
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
    /// The stream is open: from here on it brings notifications.
    StreamOpen,
    /// A notification came on the stream.
    Notification(String),
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The kernel connects.
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
    wire: Wire,
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
    reader: ResponseReader,
    /// An incomplete head or line.
    pub(super) unread: Vec<u8>,
    current: Current,
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
            wire,
            stage: Stage::Connecting,
            since_ns: now_ns,
            in_flight: VecDeque::new(),
            is_sending: false,
            unsent: Vec::new(),
            session: None,
            requests: 0,
            session_requests: 0,
            last_round: 0,
            reader: ResponseReader::default(),
            unread: Vec::new(),
            current: Current::default(),
        }
    }

    /// Takes received bytes and appends the events they cause to `events`.
    ///
    /// # Errors
    /// [`ResponseFault`]: the connection is of no use any more.
    pub fn take(
        &mut self,
        bytes: &[u8],
        heads: &mut HeadCache,
        checkers: &mut Checkers,
        events: &mut Vec<Event>,
    ) -> Result<(), ResponseFault> {
        if self.wire == Wire::Lines {
            self.take_lines(bytes, checkers, events);
            return Ok(());
        }
        let (current, in_flight) = (&mut self.current, &mut self.in_flight);
        let mut sink = |item: Item<'_>| current.take(item, in_flight, checkers, events);
        if self.unread.is_empty() {
            let consumed = self.reader.read(heads, bytes, &mut sink)?;
            self.unread.extend_from_slice(&bytes[consumed..]);
        } else {
            self.unread.extend_from_slice(bytes);
            let consumed = self.reader.read(heads, &self.unread, &mut sink)?;
            self.unread.drain(..consumed);
        }
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Ok(())
    }

    /// Says that the server sends no more.
    ///
    /// # Errors
    /// [`ResponseFault::Truncated`] if an answer is not whole.
    pub fn finish(
        &mut self,
        checkers: &mut Checkers,
        events: &mut Vec<Event>,
    ) -> Result<(), ResponseFault> {
        if self.wire == Wire::Lines {
            return Ok(());
        }
        let (current, in_flight) = (&mut self.current, &mut self.in_flight);
        let mut sink = |item: Item<'_>| current.take(item, in_flight, checkers, events);
        self.reader.finish(&self.unread, &mut sink)
    }
}

/// The checkers of a run; one for each kind of request.
#[derive(Clone, Debug)]
pub struct Checkers {
    /// Of `initialize`.
    pub initialize: Checker,
    /// Of the mix's kinds, in its order.
    pub kinds: Vec<Checker>,
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
                        && head.content == Content::Events,
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

/// The event of a message on a stream; a stream may also bring the answer that ends it.
pub(super) fn stream_event(message: &[u8]) -> Option<Event> {
    let message: Json = serde_json::from_slice(message).ok()?;
    let method = message.get("method")?.as_str()?;
    Some(match method {
        "notifications/subscriptions/acknowledged" => Event::StreamOpen,
        _ => Event::Notification(method.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::{Checkers, Client, Ending, Event, Exchange, Purpose};
    use crate::load::answer::{Checker, Expected};
    use crate::load::response::HeadCache;
    use crate::load::tally::Failure;
    use crate::load::target::Wire;

    fn exchange(purpose: Purpose, id: u64) -> Exchange {
        Exchange {
            purpose,
            id,
            intended_ns: 0,
            sent_ns: 0,
            is_aborted: false,
        }
    }

    /// Gives `answer` byte by byte to a connection with `in_flight`.
    fn read(in_flight: &[Exchange], answer: &str) -> (Client, Vec<Event>) {
        let mut client = Client::connecting(Wire::Http, 0);
        client.in_flight.extend(in_flight);
        let mut checkers = Checkers {
            initialize: Checker::new(Expected::Initialized),
            kinds: vec![Checker::new(Expected::Object)],
        };
        let (mut heads, mut events) = (HeadCache::default(), Vec::new());
        for byte in answer.as_bytes().chunks(1) {
            client
                .take(byte, &mut heads, &mut checkers, &mut events)
                .unwrap();
        }
        (client, events)
    }

    fn answer(status: &str, body: &str) -> String {
        let bytes = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nMcp-Session-Id: s\r\n\
             Content-Length: {bytes}\r\n\r\n{body}"
        )
    }

    fn ending(purpose: Purpose, status: &str, body: &str) -> String {
        let (client, events) = read(&[exchange(purpose, 7)], &answer(status, body));
        assert!(client.in_flight.is_empty());
        match &events[..] {
            [
                Event::Done {
                    ending, session, ..
                },
            ] => {
                assert_eq!(session.as_deref(), Some("s"));
                match ending {
                    Ending::Correct { .. } => "right".to_owned(),
                    Ending::Failed(failure, line) => format!("{failure:?} {line}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_end_exchanges() {
        let request = Purpose::Request(0);
        let right = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
        let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602}}"#;
        assert_eq!(ending(request, "200 OK", right), "right");
        assert!(ending(request, "400 Bad Request", error).starts_with("Protocol"));
        assert!(ending(request, "500 Error", "oops").starts_with("Http status 500"));
        assert!(ending(request, "200 OK", "").starts_with("WrongAnswer"));
        assert!(ending(request, "503 Busy", "").starts_with("Http status 503"));
        assert_eq!(ending(Purpose::Initialized, "202 Accepted", ""), "right");
        assert!(ending(Purpose::Initialized, "400 Bad", "{}").starts_with("Http status 400"));
        assert_eq!(ending(Purpose::Delete, "405 Not Allowed", ""), "right");
        assert!(ending(Purpose::Initialize, "200 OK", right).starts_with("WrongAnswer"));
    }

    #[test]
    fn answers_come_in_the_order_of_requests() {
        let requests = [8, 9].map(|id| exchange(Purpose::Request(0), id));
        let body = |id: u64| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        let both = answer("200 OK", &body(8)) + &answer("200 OK", &body(8));
        let (_, events) = read(&requests, &both);
        let failures: Vec<bool> = events
            .iter()
            .map(|event| match event {
                Event::Done { ending, .. } => {
                    matches!(ending, Ending::Failed(Failure::WrongAnswer, _))
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(failures, [false, true]);
    }

    #[test]
    fn streams_open_and_bring_notifications() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let event = |method: &str| {
            chunk(&format!(
                "data: {{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"}}\n\n"
            ))
        };
        let changed = "notifications/tools/list_changed";
        let received = |events: &[Event]| -> Vec<String> {
            let received = events.iter().map(|event| match event {
                Event::StreamOpen => "open".to_owned(),
                Event::Notification(method) => method.clone(),
                Event::Done { .. } => "done".to_owned(),
            });
            received.collect()
        };
        let get = exchange(Purpose::Stream, 0);
        let (_, events) = read(&[get], &(head.to_owned() + &event(changed)));
        assert_eq!(received(&events), ["open", changed]);
        let listen = exchange(Purpose::Stream, 5);
        let acknowledged = event("notifications/subscriptions/acknowledged");
        let (_, events) = read(
            &[listen],
            &(head.to_owned() + &acknowledged + &event(changed)),
        );
        assert_eq!(received(&events), ["open", changed]);
        let (_, events) = read(&[get], &answer("405 Not Allowed", ""));
        assert_eq!(received(&events), ["done"]);
    }
}
