//! One connection's state: the answers it still gets, the partial request, and its submissions.
//!
//! Pure bookkeeping; it submits nothing. [`Connection::step`] alone decides the next
//! submission, so a descriptor is closed exactly once, and only when nothing in flight names it.

use crate::answer::{ANSWER_BYTES, BATCH, CHANGE_BYTES, LINE_BYTES, LINES, OPENING_BYTES, STREAM};
use crate::mcp;
use crate::secured::Secured;
use baseline::outbox::Outbox;
use baseline::request::{Framed, frame, frame_line};
use baseline::ring::Step;

/// A connection in its slot. The default is a vacant slot, which remembers its generation.
#[derive(Default)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    /// In the list of connections to be looked at when the turn ends.
    pub(crate) is_queued: bool,
    /// A multishot receive is armed.
    pub(crate) is_receiving: bool,
    is_sending: bool,
    is_cancelling: bool,
    /// No more input is read: the peer ended it, or sent bytes that cannot be framed.
    is_ending: bool,
    /// There is a connection here and its descriptor is not being closed.
    pub(crate) is_open: bool,
    /// Its requests are lines, not HTTP.
    is_lines: bool,
    /// Its records, with TLS.
    secured: Option<Box<Secured>>,
    /// The answers of an upstream, each with an id of its own.
    own: Option<Outbox>,
    /// It gets the bytes of a stream instead of answers.
    pub(crate) is_stream: bool,
    /// Bytes of answers or of the stream not yet sent. A peer that does not read costs this
    /// number, not memory.
    owed_bytes: u64,
    /// How far into an answer, or into the stream, the next byte to send lies.
    answer_offset: usize,
    /// The beginning of a request; empty and without memory while nothing is half received.
    partial: Vec<u8>,
}

/// The requests and answers of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP with the fixed answer.
    #[default]
    Http,
    /// A line each.
    Lines,
    /// HTTP with the answers of [`mcp`].
    Upstream,
}

impl Connection {
    /// Makes the slot a fresh connection of the next generation.
    pub(crate) fn open(&mut self, generation: u32, kind: Kind, secured: Option<Secured>) {
        let is_queued = self.is_queued;
        *self = Self {
            generation,
            is_queued,
            is_open: true,
            is_lines: kind == Kind::Lines,
            own: (kind == Kind::Upstream).then(Outbox::default),
            secured: secured.map(Box::new),
            ..Self::default()
        };
    }

    /// Counts the whole requests in `input`, which is opened in place if the connection has TLS.
    pub(crate) fn receive(&mut self, input: &mut [u8]) -> usize {
        let Some(secured) = &mut self.secured else {
            return self.receive_plain(input);
        };
        let mut plaintext = Vec::new();
        if secured.open(input, &mut plaintext).is_err() {
            self.is_ending = true;
        }
        self.receive_plain(&plaintext)
    }

    /// Counts the whole requests in `input`, joined to the partial request before it.
    fn receive_plain(&mut self, input: &[u8]) -> usize {
        if self.is_ending {
            return 0;
        }
        if self.partial.is_empty() {
            let (requests, used) = self.count_requests(input);
            self.partial.extend_from_slice(&input[used..]);
            return requests;
        }
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(input);
        let (requests, used) = self.count_requests(&joined);
        if used < joined.len() {
            joined.drain(..used);
            self.partial = joined;
        }
        requests
    }

    /// Owes so many answers more.
    pub(crate) fn answer(&mut self, requests: usize) {
        if self.own.is_some() {
            // They were written when the requests were read.
            return;
        }
        self.owed_bytes += (requests * self.answer_bytes()) as u64;
    }

    /// Makes the connection a stream and owes its beginning.
    ///
    /// # Panics
    /// If answers are owed: their bytes would be cut off.
    pub(crate) fn open_stream(&mut self) {
        assert_eq!((self.owed_bytes, self.answer_offset), (0, 0));
        self.is_stream = true;
        self.owed_bytes = OPENING_BYTES as u64;
    }

    /// Owes a stream one event more.
    pub(crate) fn change(&mut self) {
        self.owed_bytes += CHANGE_BYTES as u64;
    }

    /// The armed receive is over; `is_ended` if the peer's input is too.
    pub(crate) fn received_last(&mut self, is_ended: bool) {
        self.is_receiving = false;
        self.is_ending |= is_ended;
    }

    /// A send of ours completed with this many bytes, or failed: then nothing more can be sent.
    pub(crate) fn sent(&mut self, bytes: Option<usize>) {
        self.is_sending = false;
        match bytes {
            Some(bytes) => match (&mut self.secured, &mut self.own) {
                // Its answers were paid when they were sealed.
                (Some(secured), _) => secured.sent(bytes),
                (None, Some(own)) => own.sent(bytes),
                (None, None) => self.pay(bytes),
            },
            None => {
                self.owed_bytes = 0;
                (self.secured, self.own) = (None, None);
                self.is_ending = true;
            }
        }
    }

    /// Owes so many bytes less.
    fn pay(&mut self, bytes: usize) {
        self.owed_bytes -= bytes as u64;
        self.answer_offset += bytes;
        if !self.is_stream {
            self.answer_offset %= self.answer_bytes();
        } else if self.answer_offset == STREAM.len() {
            self.answer_offset = OPENING_BYTES;
        }
    }

    fn answer_bytes(&self) -> usize {
        match self.is_lines {
            true => LINE_BYTES,
            false => ANSWER_BYTES,
        }
    }

    /// The next bytes that are owed, as many as one send can carry.
    fn owed(&self) -> &'static [u8] {
        let batch: &[u8] = match (self.is_stream, self.is_lines) {
            (true, _) => &STREAM,
            (false, true) => &LINES,
            (false, false) => &BATCH,
        };
        let batch = &batch[self.answer_offset..];
        let owed = usize::try_from(self.owed_bytes).unwrap_or(usize::MAX);
        &batch[..batch.len().min(owed)]
    }

    /// Returns the next submission and assumes that the caller submits it.
    pub(crate) fn step(&mut self) -> Step<'_> {
        if !self.is_open || self.is_sending {
            return Step::Wait;
        }
        if self.secured.is_some() {
            self.seal_owed();
        } else if self.owed_bytes > 0 {
            self.is_sending = true;
            return Step::Send(self.owed());
        }
        if let Some(secured) = self.secured.as_ref().filter(|it| !it.is_sent()) {
            self.is_sending = true;
            return Step::Send(secured.unsent());
        }
        if let Some(own) = self.own.as_mut().filter(|it| !it.is_empty()) {
            self.is_sending = true;
            return Step::Send(own.next_send());
        }
        if !self.is_ending {
            return Step::Wait;
        }
        if self.is_receiving {
            let is_first = !std::mem::replace(&mut self.is_cancelling, true);
            return if is_first { Step::Cancel } else { Step::Wait };
        }
        self.is_open = false;
        Step::Close
    }

    /// Seals the pending answers once the last records are sent.
    fn seal_owed(&mut self) {
        let owed = self.owed();
        if let Some(secured) = self.secured.as_mut().filter(|it| it.is_sent()) {
            secured.seal(owed);
            self.pay(owed.len());
        }
    }

    /// Returns the whole requests and the bytes used; the rest begin a request, or are dropped if
    /// it cannot be framed.
    fn count_requests(&mut self, input: &[u8]) -> (usize, usize) {
        let (mut requests, mut used) = (0, 0);
        while used < input.len() {
            let framed = match self.is_lines {
                true => frame_line(&input[used..]),
                false => frame(&input[used..]),
            };
            match framed {
                Framed::Whole(bytes) => {
                    if let Some(own) = &mut self.own {
                        mcp::answer(&input[used..used + bytes], own.waiting());
                    }
                    used += bytes;
                    requests += 1;
                }
                Framed::Partial => break,
                Framed::Refused => {
                    self.is_ending = true;
                    return (requests, input.len());
                }
            }
        }
        (requests, used)
    }
}

#[cfg(test)]
mod tests {
    use super::{Connection, Kind, Step};
    use crate::answer::{ANSWER_BYTES, BATCH, CHANGE_BYTES, OPENING_BYTES, STREAM};

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

    fn opened() -> Connection {
        let mut connection = Connection::default();
        connection.open(1, Kind::Http, None);
        connection
    }

    fn answer(connection: &mut Connection, requests: &[u8]) {
        let requests = connection.receive_plain(requests);
        connection.answer(requests);
    }

    /// Feeds `pieces` and checks how many requests are whole and how many bytes are kept.
    fn check(pieces: &[&[u8]], answers: usize, kept_bytes: usize) {
        let mut connection = opened();
        let requests: usize = pieces
            .iter()
            .map(|piece| connection.receive_plain(piece))
            .sum();
        assert_eq!(requests, answers, "{pieces:?}");
        assert_eq!(connection.partial.len(), kept_bytes, "{pieces:?}");
    }

    #[test]
    fn counts_whole_requests() {
        let two = REQUEST.repeat(2);
        let one_and_a_half = &two[..60];
        let bytes: Vec<&[u8]> = two.chunks(1).collect();
        check(&[REQUEST], 1, 0);
        check(&[&two], 2, 0);
        check(&[one_and_a_half], 1, 20);
        check(&[one_and_a_half, &two[60..]], 2, 0);
        check(&bytes, 2, 0);
        check(&[REQUEST, b"nonsense\r\n\r\n", REQUEST], 1, 0);
    }

    #[test]
    fn resumes_a_short_send_where_it_stopped() {
        let mut connection = opened();
        answer(&mut connection, &REQUEST.repeat(2));
        assert_eq!(connection.step(), Step::Send(&BATCH[..2 * ANSWER_BYTES]));
        assert_eq!(connection.step(), Step::Wait);
        let short = ANSWER_BYTES + 7;
        connection.sent(Some(short));
        assert_eq!(connection.step(), Step::Send(&BATCH[7..ANSWER_BYTES]));
        connection.sent(Some(ANSWER_BYTES - 7));
        assert_eq!(connection.step(), Step::Wait);
    }

    #[test]
    fn sends_its_output_then_cancels_then_closes_once() {
        let mut connection = opened();
        connection.is_receiving = true;
        answer(&mut connection, REQUEST);
        connection.receive_plain(b"nonsense\r\n\r\n");
        assert_eq!(connection.step(), Step::Send(&BATCH[..ANSWER_BYTES]));
        connection.sent(Some(ANSWER_BYTES));
        assert_eq!(connection.step(), Step::Cancel);
        assert_eq!(connection.step(), Step::Wait);
        connection.received_last(true);
        assert_eq!(connection.step(), Step::Close);
        assert_eq!(connection.step(), Step::Wait);
    }

    #[test]
    fn a_failed_send_ends_the_connection() {
        let mut connection = opened();
        answer(&mut connection, REQUEST);
        assert!(matches!(connection.step(), Step::Send(_)));
        connection.sent(None);
        assert_eq!(connection.step(), Step::Close);
    }

    #[test]
    fn a_stream_begins_once_and_repeats_its_event() {
        let mut connection = opened();
        assert_eq!(connection.receive_plain(REQUEST), 1);
        connection.open_stream();
        assert_eq!(connection.step(), Step::Send(&STREAM[..OPENING_BYTES]));
        connection.sent(Some(OPENING_BYTES));
        for _ in 0..3 {
            connection.change();
            assert_eq!(connection.step(), Step::Send(&STREAM[OPENING_BYTES..]));
            connection.change();
            connection.sent(Some(1));
            let rest = &STREAM[OPENING_BYTES + 1..];
            assert_eq!(connection.step(), Step::Send(rest));
            connection.sent(Some(CHANGE_BYTES - 1));
            assert_eq!(connection.step(), Step::Send(&STREAM[OPENING_BYTES..]));
            connection.sent(Some(CHANGE_BYTES));
            assert_eq!(connection.step(), Step::Wait);
        }
    }
}
