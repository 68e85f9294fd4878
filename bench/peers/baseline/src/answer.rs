//! The one answer, and a run of copies of it long enough for a batch of pipelined requests.
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

/// Bytes of one answer, head and body.
pub(crate) const ANSWER_BYTES: usize = ANSWER.len();

/// [`BATCH_ANSWERS`] answers, one after the other.
pub(crate) static BATCH: [u8; ANSWER_BYTES * BATCH_ANSWERS] = {
    let mut batch = [0; ANSWER_BYTES * BATCH_ANSWERS];
    let mut at = 0;
    while at < batch.len() {
        batch[at] = ANSWER.as_bytes()[at % ANSWER_BYTES];
        at += 1;
    }
    batch
};

#[cfg(test)]
mod tests {
    use super::{ANSWER, ANSWER_BYTES, BATCH, BATCH_ANSWERS};

    #[test]
    fn body_has_the_length_its_head_names() {
        let (head, body) = ANSWER.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), 200);
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
    }
}
