//! The one answer of each protocol, and a run of copies of it long enough for a batch of pipelined
//! requests; and a stream of events with its one change.
//!
//! All answers are the same bytes, so the debt to a connection is a number, never a buffer: any
//! stretch of the answers it still has to get is a slice of [`BATCH`].

/// Answers that one send can carry.
const BATCH_ANSWERS: usize = 32;

/// Head and body. The body is the answer to a `tools/call` of `echo` with id 1 and a message of 100
/// `a`s, so that the check which guards a real server's measurement holds for the baseline as well.
const ANSWER: &str = concat!(
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",",
    "\"content\":[{\"type\":\"text\",\"text\":\"",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\"}]   }}"
);

/// Bytes of a body.
const BODY_BYTES: usize = 200;
/// Bytes of one answer, head and body.
pub(crate) const ANSWER_BYTES: usize = ANSWER.len();

/// Bytes of one answer on lines: the body and the end of the line.
pub(crate) const LINE_BYTES: usize = BODY_BYTES + 1;

/// [`BATCH_ANSWERS`] answers, one after the other.
pub(crate) static BATCH: [u8; ANSWER_BYTES * BATCH_ANSWERS] = repeated(ANSWER.as_bytes());

/// The same of lines.
pub(crate) static LINES: [u8; LINE_BYTES * BATCH_ANSWERS] = {
    let mut line = [b'\n'; LINE_BYTES];
    let (_, body) = ANSWER.as_bytes().split_at(ANSWER_BYTES - BODY_BYTES);
    line.split_at_mut(BODY_BYTES).0.copy_from_slice(body);
    repeated(&line)
};

const fn repeated<const BYTES: usize>(answer: &[u8]) -> [u8; BYTES] {
    let mut batch = [0; BYTES];
    let mut at = 0;
    while at < BYTES {
        batch[at] = answer[at % answer.len()];
        at += 1;
    }
    batch
}

/// The beginning of a stream: a head, and the event that a client of revision 2026-07-28 waits for.
const OPENING: &str = concat!(
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    "4d\r\n",
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\"}\n\n\r\n",
);

/// One event in its chunk.
const CHANGE: &str = concat!(
    "c2\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",",
    "\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":\"1\"}}",
    "                                                           }\n\n\r\n",
);

/// Bytes of the beginning of a stream.
pub(crate) const OPENING_BYTES: usize = OPENING.len();
/// Bytes of one event.
pub(crate) const CHANGE_BYTES: usize = CHANGE.len();

/// The beginning of a stream and one event, which is repeated.
pub(crate) static STREAM: [u8; OPENING_BYTES + CHANGE_BYTES] = {
    let mut stream = [0; OPENING_BYTES + CHANGE_BYTES];
    let (opening, change) = stream.split_at_mut(OPENING_BYTES);
    opening.copy_from_slice(OPENING.as_bytes());
    change.copy_from_slice(CHANGE.as_bytes());
    stream
};

#[cfg(test)]
mod tests {
    use super::{
        ANSWER, ANSWER_BYTES, BATCH, BATCH_ANSWERS, BODY_BYTES, CHANGE, LINE_BYTES, LINES, OPENING,
    };

    #[test]
    fn body_has_the_length_its_head_names() {
        let (head, body) = ANSWER.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), BODY_BYTES);
        assert!(head.ends_with("\r\nContent-Length: 200"));
        assert!(body.contains(&"a".repeat(100)));
    }

    #[test]
    fn batch_repeats_the_answer() {
        assert_eq!(BATCH.chunks(ANSWER_BYTES).count(), BATCH_ANSWERS);
        assert!(
            BATCH
                .chunks(ANSWER_BYTES)
                .all(|answer| answer == ANSWER.as_bytes())
        );
        let (_, body) = ANSWER.split_at(ANSWER_BYTES - BODY_BYTES);
        let line = format!("{body}\n");
        assert_eq!(LINES.chunks(LINE_BYTES).count(), BATCH_ANSWERS);
        assert!(LINES.chunks(LINE_BYTES).all(|it| it == line.as_bytes()));
    }

    #[test]
    fn chunks_have_the_lengths_that_they_name() {
        let check = |chunk: &str| {
            let (length, rest) = chunk.split_once("\r\n").unwrap();
            let bytes = usize::from_str_radix(length, 16).unwrap();
            assert_eq!(rest.len(), bytes + 2, "{chunk}");
            assert!(rest.ends_with("\n\n\r\n"));
        };
        check(OPENING.split_once("\r\n\r\n").unwrap().1);
        check(CHANGE);
        assert_eq!(CHANGE.len(), 200);
    }
}
