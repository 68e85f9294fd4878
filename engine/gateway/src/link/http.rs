//! The answer to one request on a link of HTTP.

use corelane_protocol::binding::http_client::{Outcome, outcome};
use corelane_protocol::framing::http1::{HeadCache, Item, ResponseFault, ResponseReader};

/// A part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum AnswerStep<'a> {
    /// The head, which comes first.
    Head {
        /// The status code.
        status: u16,
        /// Its meaning.
        outcome: Outcome,
        /// The session that it opens.
        session: Option<&'a str>,
        /// After how many seconds the request may be repeated, if it says so.
        retry_after_s: Option<u16>,
    },
    /// A message: the whole body, or the data of one event. It was not checked.
    Message(&'a [u8]),
    /// The data of an event `endpoint`, which only HTTP+SSE has.
    Endpoint(&'a [u8]),
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerEnd {
    /// Whether the link can carry another request.
    pub is_reusable: bool,
    /// The time that the endpoint keeps an idle link, in seconds, if it advertises one.
    pub keep_alive_s: Option<u16>,
}

/// Why the bytes of a link are no answer. The link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// They are not HTTP, or exceed a limit.
    #[error(transparent)]
    Answer(#[from] ResponseFault),
    /// Bytes follow the answer, which belong to no request.
    #[error("bytes follow the end of the answer")]
    Trailing,
}

/// Reads one answer, from pieces of any sizes.
#[derive(Debug)]
pub struct AnswerReader {
    reader: ResponseReader,
    /// Bytes of an incomplete head or line.
    unread: Vec<u8>,
    end: AnswerEnd,
    has_begun: bool,
    is_over: bool,
    names_session: bool,
}

impl AnswerReader {
    /// A reader of an answer whose messages have at most `message_bytes_max` bytes.
    ///
    /// ```
    /// use corelane_gateway::link::{AnswerReader, AnswerStep};
    /// use corelane_protocol::framing::http1::HeadCache;
    ///
    /// let text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    ///              Content-Length: 2\r\n\r\n{}";
    /// let (mut reader, mut found) = (AnswerReader::new(1024), Vec::new());
    /// let end = reader.read(&mut HeadCache::default(), text, &mut |step| {
    ///     if let AnswerStep::Message(message) = step {
    ///         found.extend_from_slice(message);
    ///     }
    /// })?;
    /// assert!(end.is_some_and(|end| end.is_reusable));
    /// assert_eq!(found, b"{}");
    /// # Ok::<(), corelane_gateway::link::LinkFault>(())
    /// ```
    pub fn new(message_bytes_max: usize) -> AnswerReader {
        AnswerReader {
            reader: ResponseReader::with_message_limit(message_bytes_max),
            unread: Vec::new(),
            end: AnswerEnd {
                is_reusable: false,
                keep_alive_s: None,
            },
            has_begun: false,
            is_over: false,
            names_session: false,
        }
    }

    /// The request has the id of a session, so that 404 is about the session.
    #[must_use]
    pub fn of_session(mut self) -> AnswerReader {
        self.names_session = true;
        self
    }

    /// Reads the next bytes of the link. Returns the end, if they have it.
    ///
    /// # Errors
    /// [`LinkFault`]: nothing more can be read from this link.
    pub fn read(
        &mut self,
        heads: &mut HeadCache,
        piece: &[u8],
        sink: &mut impl FnMut(AnswerStep<'_>),
    ) -> Result<Option<AnswerEnd>, LinkFault> {
        if self.is_over {
            return Err(LinkFault::Trailing);
        }
        let mut unread = std::mem::take(&mut self.unread);
        let input = match unread.is_empty() {
            true => piece,
            false => {
                unread.extend_from_slice(piece);
                &unread
            }
        };
        let consumed = self.read_items(heads, input, sink)?;
        let rest = &input[consumed..];
        if self.is_over {
            return match rest.is_empty() {
                true => Ok(Some(self.end)),
                false => Err(LinkFault::Trailing),
            };
        }
        self.unread = rest.to_vec();
        Ok(None)
    }

    /// Handles the end of the connection. Returns the end of the answer, if that ends it.
    ///
    /// # Errors
    /// [`ResponseFault::Truncated`] if the answer is not whole.
    pub fn finish(
        &mut self,
        sink: &mut impl FnMut(AnswerStep<'_>),
    ) -> Result<AnswerEnd, LinkFault> {
        let unread = std::mem::take(&mut self.unread);
        let is_over = &mut self.is_over;
        self.reader.finish(&unread, &mut |item| match item {
            Item::Head(_) => {}
            Item::Message(message) => sink(AnswerStep::Message(message)),
            Item::Endpoint(url) => sink(AnswerStep::Endpoint(url)),
            Item::End => *is_over = true,
        })?;
        self.end.is_reusable = false;
        match self.is_over {
            true => Ok(self.end),
            false => Err(ResponseFault::Truncated.into()),
        }
    }

    /// Whether a head has come.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    fn read_items(
        &mut self,
        heads: &mut HeadCache,
        input: &[u8],
        sink: &mut impl FnMut(AnswerStep<'_>),
    ) -> Result<usize, LinkFault> {
        let names_session = self.names_session;
        let (end, is_over, has_begun) = (&mut self.end, &mut self.is_over, &mut self.has_begun);
        let mut is_trailing = false;
        let read = self.reader.read(heads, input, &mut |item| match item {
            _ if *is_over => is_trailing = true,
            Item::Head(head) => {
                *has_begun = true;
                *end = AnswerEnd {
                    is_reusable: !head.closes,
                    keep_alive_s: head.keep_alive_s,
                };
                sink(AnswerStep::Head {
                    status: head.status,
                    outcome: outcome(head.status, head.media_type, names_session),
                    session: head.session.as_deref(),
                    retry_after_s: head.retry_after_s,
                });
            }
            Item::Message(message) => sink(AnswerStep::Message(message)),
            Item::Endpoint(url) => sink(AnswerStep::Endpoint(url)),
            Item::End => *is_over = true,
        });
        // Bytes behind the answer may also look like a broken head.
        match is_trailing || *is_over && read.is_err() {
            true => Err(LinkFault::Trailing),
            false => Ok(read?),
        }
    }
}

#[cfg(test)]
mod tests {
    use corelane_protocol::framing::http1::{HeadCache, ResponseFault};

    use super::{AnswerEnd, AnswerReader, AnswerStep, LinkFault};

    /// The parts and the end of an answer that arrives in pieces of `step` bytes.
    fn read(input: &[u8], step: usize) -> (Vec<String>, Result<Option<AnswerEnd>, LinkFault>) {
        let (mut reader, mut heads) = (AnswerReader::new(64), HeadCache::default());
        let (mut found, mut end) = (Vec::new(), Ok(None));
        for piece in input.chunks(step) {
            let mut sink = |step: AnswerStep<'_>| {
                found.push(match step {
                    AnswerStep::Head {
                        status, outcome, ..
                    } => format!("{status} {outcome:?}"),
                    AnswerStep::Message(text) => String::from_utf8_lossy(text).into_owned(),
                    AnswerStep::Endpoint(url) => {
                        format!("endpoint {}", String::from_utf8_lossy(url))
                    }
                });
            };
            end = reader.read(&mut heads, piece, &mut sink);
            if end.is_err() {
                break;
            }
        }
        (found, end)
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

    #[test]
    fn an_answer_ends_with_the_use_of_its_link() {
        for (fields, is_reusable, keep_alive_s) in [
            ("Content-Length: 2\r\n\r\n{}", true, None),
            (
                "Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\n{}",
                true,
                Some(5),
            ),
            (
                "Connection: close\r\nContent-Length: 2\r\n\r\n{}",
                false,
                None,
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                true,
                None,
            ),
        ] {
            let input = format!("{HEAD}{fields}");
            for step in [input.len(), 1, 7] {
                let (found, end) = read(input.as_bytes(), step);
                assert_eq!(found, ["200 Message", "{}"], "{input} by {step}");
                let expected = AnswerEnd {
                    is_reusable,
                    keep_alive_s,
                };
                assert_eq!(end, Ok(Some(expected)), "{input} by {step}");
            }
        }
    }

    #[test]
    fn events_come_one_by_one() {
        let input = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
                     data: {\"a\":1}\n\nevent: endpoint\ndata: /in?id=1\n\n\
                     event: message\ndata: {\"b\":2}\n\n";
        let (found, end) = read(input.as_bytes(), 5);
        let expected = ["200 Events", "{\"a\":1}", "endpoint /in?id=1", "{\"b\":2}"];
        assert_eq!(found, expected);
        assert_eq!(end, Ok(None), "it ends with the connection");
    }

    #[test]
    fn bytes_behind_an_answer_are_a_fault() {
        for rest in ["x", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
            let input = format!("{HEAD}Content-Length: 2\r\n\r\n{{}}{rest}");
            for step in [input.len(), 1] {
                let (_, end) = read(input.as_bytes(), step);
                assert_eq!(end, Err(LinkFault::Trailing), "{rest:?} by {step}");
            }
        }
    }

    #[test]
    fn a_message_past_the_limit_and_a_cut_answer_are_faults() {
        let long = format!("{HEAD}Content-Length: 65\r\n\r\n{}", "1".repeat(65));
        let fault = LinkFault::Answer(ResponseFault::MessageBytes(64));
        assert_eq!(read(long.as_bytes(), 10).1, Err(fault));
        let cut = format!("{HEAD}Content-Length: 3\r\n\r\n{{}}");
        for bytes in [1, 40, cut.len()] {
            let mut reader = AnswerReader::new(64);
            let mut heads = HeadCache::default();
            let read = reader.read(&mut heads, &cut.as_bytes()[..bytes], &mut |_| ());
            assert_eq!(read, Ok(None));
            let ended = reader.finish(&mut |_| ());
            assert_eq!(ended, Err(ResponseFault::Truncated.into()), "{bytes}");
        }
        let mut reader = AnswerReader::new(64);
        let ended = reader.finish(&mut |_| ());
        assert_eq!(ended, Err(ResponseFault::Truncated.into()), "nothing came");
    }
}
