//! HTTP/1.1 responses as a client sees them, read strictly: a fault that lenient clients forgive is
//! a fault of the server here.

use serde_json::Value;

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 0 or 1, of HTTP/1.
    pub version_minor: u8,
    /// Status code, 100 to 599.
    pub status: u16,
    fields: Vec<(String, String)>,
}

/// Where the body of a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes.
    Length(usize),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its head.
    pub head: Head,
    /// Its body without chunk framing.
    pub body: Vec<u8>,
}

impl Head {
    /// Reads a head from the start of `bytes`, and returns it with the number of its bytes. None
    /// while it is not whole.
    ///
    /// # Errors
    /// The fault of a malformed head.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let malformed = || format!("malformed status line {status_line:?}");
        let rest = status_line.strip_prefix("HTTP/1.").ok_or_else(malformed)?;
        let mut parts = rest.splitn(3, ' ');
        let version_minor = parts
            .next()
            .and_then(|it| it.parse().ok())
            .ok_or_else(malformed)?;
        let status = parts
            .next()
            .and_then(|it| it.parse().ok())
            .ok_or_else(malformed)?;
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line
                .split_once(": ")
                .ok_or(format!("malformed field {line:?}"))?;
            fields.push((name.to_owned(), value.to_owned()));
        }
        Ok(Some((
            Head {
                version_minor,
                status,
                fields,
            },
            end + 4,
        )))
    }

    /// The value of a field, in any case of its name.
    ///
    /// # Panics
    /// If the field is repeated: this server has no reason to.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self
            .fields
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "repeated field {name} in {self:?}");
        value
    }

    /// How the body ends.
    ///
    /// # Errors
    /// Why the length is ambiguous.
    pub fn framing(&self) -> Result<Framing, String> {
        let is_bodiless = self.status < 200 || matches!(self.status, 204 | 304);
        match (
            self.field("Content-Length"),
            self.field("Transfer-Encoding"),
        ) {
            (None, None) if is_bodiless => Ok(Framing::Length(0)),
            (Some(length), None) if self.status != 204 && self.status >= 200 => length
                .parse()
                .map(Framing::Length)
                .map_err(|_| format!("malformed Content-Length {length:?}")),
            (None, Some("chunked")) if !is_bodiless && self.version_minor == 1 => {
                Ok(Framing::Chunked)
            }
            (None, None) => Ok(Framing::UntilClose),
            _ => Err(format!("length in doubt: {self:?}")),
        }
    }

    /// Whether the response announces the end of the connection.
    #[must_use]
    pub fn says_close(&self) -> bool {
        self.field("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Whether the body is a stream of events.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        self.field("Content-Type") == Some("text/event-stream")
    }
}

impl Response {
    /// Status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The body, which must be JSON and be declared as JSON.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        assert_eq!(
            self.head.field("Content-Type"),
            Some("application/json"),
            "{self:?}"
        );
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON, {error}: {}", self.text()))
    }

    /// The messages of the body in order, from JSON or from a stream of events. An event without
    /// data is skipped.
    ///
    /// # Panics
    /// If it is neither.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        if !self.head.is_event_stream() {
            return vec![self.json()];
        }
        assert!(
            self.body.is_empty() || self.body.ends_with(b"\n\n"),
            "{}",
            self.text()
        );
        self.text()
            .split("\n\n")
            .filter_map(event_data)
            .filter(|data| !data.is_empty())
            .map(|data| parse(&data))
            .collect()
    }

    /// The last message, which is the answer, without the messages before it.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn answer(&self) -> Value {
        self.messages()
            .pop()
            .unwrap_or_else(|| panic!("no message in {self:?}"))
    }

    /// The id of the last event of the body, from which its stream can be resumed.
    #[must_use]
    pub fn last_event_id(&self) -> Option<String> {
        let text = self.text();
        let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.next_back().map(str::to_owned)
    }

    /// Body as text, for messages of failing tests.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The first chunk in `bytes` and how many bytes it takes with its framing. Nothing when it is
/// not whole. The last chunk is empty and takes the end of the body with it.
pub(crate) fn next_chunk(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, String> {
    let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes[..line]);
    let length = usize::from_str_radix(&text, 16).map_err(|_| format!("chunk size {text:?}"))?;
    let end = line + 2 + length;
    match bytes.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((&bytes[line + 2..end], end + 2))),
        Some(other) => Err(format!("chunk of {length} bytes ends with {other:?}")),
    }
}

/// The data of one event without its dispatching empty line; nothing for a comment.
#[must_use]
pub fn event_data(event: &str) -> Option<String> {
    let lines: Vec<&str> = event
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .collect();
    if lines.is_empty() {
        return None;
    }
    let strip = |line: &&str| line.strip_prefix(' ').unwrap_or(line).to_owned();
    Some(lines.iter().map(strip).collect::<Vec<_>>().join("\n"))
}

/// Parses JSON that a test depends on.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON, {error}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::{Framing, Head, event_data, next_chunk};

    #[test]
    fn heads_are_read_when_they_are_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        for end in 0..bytes.len() - 2 {
            assert_eq!(Head::parse(&bytes[..end]), Ok(None), "{end}");
        }
        let (head, consumed) = Head::parse(bytes).unwrap().unwrap();
        assert_eq!((head.status, consumed), (200, bytes.len() - 2));
        assert_eq!(head.framing(), Ok(Framing::Length(2)));
        assert!(head.says_close());
    }

    #[test]
    fn doubts_about_the_length_are_faults() {
        for (text, is_sound) in [
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                true,
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
                false,
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", false),
        ] {
            let (head, _) = Head::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.framing().is_ok(), is_sound, "{text}");
        }
    }

    #[test]
    fn comments_have_no_data() {
        assert_eq!(event_data(": keep-alive"), None);
        assert_eq!(
            event_data("id: 1\ndata: a\ndata: b"),
            Some("a\nb".to_owned())
        );
        assert_eq!(event_data("data:"), Some(String::new()));
    }

    #[test]
    fn chunks_are_read_when_they_are_whole() {
        let bytes = b"5\r\nhello\r\n0\r\n\r\n";
        for end in 0..10 {
            assert_eq!(next_chunk(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(next_chunk(bytes), Ok(Some((&b"hello"[..], 10))));
        assert_eq!(next_chunk(&bytes[10..]), Ok(Some((&b""[..], 5))));
        assert!(next_chunk(b"x\r\n").is_err());
        assert!(next_chunk(b"1\r\nab\r\n").is_err());
    }
}
