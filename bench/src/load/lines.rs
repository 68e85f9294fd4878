//! Answers on lines: in any order, each found by its id.

use super::answer::Ending;
use super::client::{Checkers, Client, Event, Purpose, stream_event};
use super::tally::Failure;
use memchr::memchr;
use serde_json::Value as Json;

/// The start of an answer as servers write it; any other form of it is parsed.
const USUAL_START: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";

impl Client {
    /// Takes received bytes of lines.
    pub(super) fn take_lines(
        &mut self,
        mut bytes: &[u8],
        checkers: &mut Checkers,
        events: &mut Vec<Event>,
    ) {
        while let Some(end) = memchr(b'\n', bytes) {
            let line = &bytes[..end];
            bytes = &bytes[end + 1..];
            if self.unread.is_empty() {
                self.take_line(line, checkers, events);
            } else {
                let mut whole = std::mem::take(&mut self.unread);
                whole.extend_from_slice(line);
                self.take_line(&whole, checkers, events);
            }
        }
        self.unread.extend_from_slice(bytes);
    }

    fn take_line(&mut self, line: &[u8], checkers: &mut Checkers, events: &mut Vec<Event>) {
        let Some(id) = id_of(line) else {
            return events.extend(stream_event(line));
        };
        // The answer to a request that was given up is ignored.
        let Some(at) = self.in_flight.iter().position(|it| it.id == id) else {
            return;
        };
        let purpose = self.in_flight[at].purpose;
        let ending = match purpose {
            Purpose::Request(kind) => checkers.kinds[kind].check(id, line),
            Purpose::Initialize => checkers.initialize.check(id, line),
            Purpose::Initialized | Purpose::Delete | Purpose::Stream => {
                let text = String::from_utf8_lossy(&line[..line.len().min(200)]);
                Some(Ending::Failed(Failure::WrongAnswer, text.into_owned()))
            }
        };
        if let Some(ending) = ending
            && let Some(exchange) = self.in_flight.remove(at)
        {
            events.push(Event::Done {
                exchange,
                ending,
                session: None,
                closes: false,
            });
        }
    }
}

/// The id of a message, if it has one that is a number.
fn id_of(line: &[u8]) -> Option<u64> {
    if let Some(rest) = line.strip_prefix(USUAL_START) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let id = digits.fold(0_u64, |id, digit| {
            id.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
        });
        return Some(id);
    }
    let message: Json = serde_json::from_slice(line).ok()?;
    message.get("id")?.as_u64()
}

#[cfg(test)]
mod tests {
    use crate::load::answer::{Checker, Ending, Expected};
    use crate::load::client::{Checkers, Client, Event, Exchange, Purpose};
    use crate::load::response::HeadCache;
    use crate::load::target::Wire;

    #[test]
    fn answers_are_found_by_their_ids_in_any_order_and_any_pieces() {
        let text = "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}\n\
                    {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\
                    {\"id\":7,\"jsonrpc\":\"2.0\",\"result\":{}}\n\
                    {\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}\n\
                    {\"jsonrpc\":\"2.0\",\"id\":9,\"error\":{\"code\":1,\"message\":\"m\"}}\n";
        for piece_bytes in [1, 7, text.len()] {
            let mut client = Client::connecting(Wire::Lines, 0);
            client.in_flight.extend([7, 8, 9].map(|id| Exchange {
                purpose: Purpose::Request(0),
                id,
                intended_ns: 0,
                sent_ns: 0,
                is_aborted: false,
            }));
            let mut checkers = Checkers {
                initialize: Checker::new(Expected::Initialized),
                kinds: vec![Checker::new(Expected::Object)],
            };
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(piece_bytes) {
                let taken =
                    client.take(piece, &mut HeadCache::default(), &mut checkers, &mut events);
                taken.expect("lines have no faults");
            }
            let ended: Vec<_> = events
                .iter()
                .filter_map(|event| match event {
                    Event::Done {
                        exchange, ending, ..
                    } => Some((exchange.id, *ending == Ending::CORRECT)),
                    _ => None,
                })
                .collect();
            assert_eq!(ended, [(8, true), (7, true), (9, false)], "{events:?}");
            assert!(client.in_flight.is_empty() && client.unread.is_empty());
        }
    }
}
