//! One half of a pair: the connection of a client, or the link to the upstream that belongs to it.
//!
//! Pure bookkeeping; it submits nothing. [`Half::step`] alone decides the next submission, so a
//! descriptor is closed exactly once, and only when nothing in flight names it.

use baseline::outbox::Outbox;
use baseline::request::{Framed, frame, frame_answer};
use baseline::ring::Step;

/// Bytes that wait for a peer which does not read; more end the pair.
const UNSENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The messages that a half receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Messages {
    /// From a client.
    #[default]
    Requests,
    /// From the upstream.
    Answers,
}

/// A half in its slot. The default is a vacant slot, which remembers its generation.
#[derive(Default)]
pub(crate) struct Half {
    pub(crate) generation: u32,
    /// In the list of halves to be looked at when the turn ends.
    pub(crate) is_queued: bool,
    /// A multishot receive is armed.
    pub(crate) is_receiving: bool,
    is_sending: bool,
    is_cancelling: bool,
    /// The pair ends: nothing more is read or sent.
    pub(crate) is_ending: bool,
    /// There is a connection here and its descriptor is not being closed.
    pub(crate) is_open: bool,
    messages: Messages,
    /// The beginning of a message; empty while nothing is half received.
    partial: Vec<u8>,
    out: Outbox,
}

impl Half {
    /// Makes the slot a fresh connection of the next generation.
    pub(crate) fn open(&mut self, generation: u32, messages: Messages) {
        let is_queued = self.is_queued;
        *self = Self {
            generation,
            is_queued,
            is_open: true,
            messages,
            ..Self::default()
        };
    }

    /// Appends the whole messages in `input`, joined to the partial one before it, to `forward`.
    /// Returns `false` if they cannot be framed.
    pub(crate) fn receive(&mut self, input: &[u8], forward: &mut Vec<u8>) -> bool {
        if self.partial.is_empty() {
            let used = whole_messages(self.messages, input);
            return used.is_some_and(|used| {
                forward.extend_from_slice(&input[..used]);
                self.partial.extend_from_slice(&input[used..]);
                true
            });
        }
        self.partial.extend_from_slice(input);
        let used = whole_messages(self.messages, &self.partial);
        used.is_some_and(|used| {
            forward.extend(self.partial.drain(..used));
            true
        })
    }

    /// Appends messages from the other half. Returns `false` if too many wait.
    pub(crate) fn forward(&mut self, messages: &[u8]) -> bool {
        self.out.waiting().extend_from_slice(messages);
        self.out.len() <= UNSENT_BYTES_MAX
    }

    /// A send completed with this many bytes, or failed with `None`.
    pub(crate) fn sent(&mut self, bytes: Option<usize>) {
        self.is_sending = false;
        match bytes {
            Some(bytes) => self.out.sent(bytes),
            None => self.is_ending = true,
        }
    }

    /// Returns the next submission and assumes that the caller submits it.
    pub(crate) fn step(&mut self) -> Step<'_> {
        if !self.is_open || self.is_sending {
            return Step::Wait;
        }
        if !self.is_ending {
            if self.out.is_empty() {
                return Step::Wait;
            }
            self.is_sending = true;
            return Step::Send(self.out.next_send());
        }
        if self.is_receiving {
            let is_first = !std::mem::replace(&mut self.is_cancelling, true);
            return if is_first { Step::Cancel } else { Step::Wait };
        }
        self.is_open = false;
        Step::Close
    }
}

/// How many bytes of `input` are whole messages; `None` if the next one cannot be framed.
fn whole_messages(messages: Messages, input: &[u8]) -> Option<usize> {
    let mut used = 0;
    while used < input.len() {
        let framed = match messages {
            Messages::Requests => frame(&input[used..]),
            Messages::Answers => frame_answer(&input[used..]),
        };
        match framed {
            Framed::Whole(bytes) => used += bytes,
            Framed::Partial => break,
            Framed::Refused => return None,
        }
    }
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::{Half, Messages, Step};

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

    fn opened(messages: Messages) -> Half {
        let mut half = Half::default();
        half.open(1, messages);
        half
    }

    #[test]
    fn forwards_whole_messages_as_they_are() {
        for (messages, message) in [(Messages::Requests, REQUEST), (Messages::Answers, ANSWER)] {
            let three = message.repeat(3);
            for bytes in 1..three.len() {
                let (mut half, mut forward) = (opened(messages), Vec::new());
                for piece in three.chunks(bytes) {
                    assert!(half.receive(piece, &mut forward));
                    assert_eq!(forward.len() % message.len(), 0, "only whole ones");
                }
                assert_eq!(forward, three);
            }
            assert!(!opened(messages).receive(b"nonsense\r\n\r\n", &mut Vec::new()));
        }
    }

    #[test]
    fn ends_after_its_send_and_its_receive() {
        let mut half = opened(Messages::Requests);
        half.is_receiving = true;
        assert!(half.forward(ANSWER));
        assert_eq!(half.step(), Step::Send(ANSWER));
        half.is_ending = true;
        assert_eq!(half.step(), Step::Wait);
        half.sent(Some(ANSWER.len()));
        assert_eq!(half.step(), Step::Cancel);
        assert_eq!(half.step(), Step::Wait);
        half.is_receiving = false;
        assert_eq!(half.step(), Step::Close);
        assert_eq!(half.step(), Step::Wait);
    }
}
