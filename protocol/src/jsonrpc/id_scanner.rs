//! The id of a request that cannot be decoded: it is too long, too deep, or not quite JSON.
//!
//! A refusal without an id reaches no caller on a channel that carries many requests: its client
//! waits until its own time is over. The scanner reads any bytes, in pieces of any size, and finds
//! the member `id` at the top of an object that has a `method` too. Where the text is ambiguous
//! there is no id. It checks nothing else, and keeps no more than one name or value.

use super::id::OwnedId;
use memchr::memchr2;

/// Bytes of a name or value that are kept: past the longest id of any profile, with escapes.
const TOKEN_BYTES_MAX: usize = 4096;

/// Reads a text piece by piece; [`IdScanner::id`] is the result.
///
/// ```
/// use corelane_protocol::jsonrpc::{IdScanner, OwnedId};
/// let mut scanner = IdScanner::default();
/// for piece in ["{\"method\":\"a\",\"x\":\"\u{1}", "\",\"id\":4", "2}"] {
///     scanner.read(piece.as_bytes());
/// }
/// assert_eq!(scanner.id(), Some(OwnedId::Integer(42)));
/// ```
#[derive(Debug, Default)]
pub struct IdScanner {
    /// Arrays and objects around the present place.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    /// Whether the present token of the top object is a value.
    is_value: bool,
    /// The present token of the top object, with its quotes.
    token: Vec<u8>,
    /// Whether the last name of the top object was `id`.
    names_id: bool,
    has_method: bool,
    /// The text of each value of `id`; two are one too many.
    ids: Vec<Vec<u8>>,
}

impl IdScanner {
    /// The id of a text that is whole, as of [`IdScanner::id`].
    pub fn id_of(text: &[u8]) -> Option<OwnedId> {
        let mut scanner = IdScanner::default();
        scanner.read(text);
        scanner.id()
    }

    /// Reads the next bytes of the text.
    pub fn read(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.is_in_string && !self.is_escaped {
                let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                if plain > 0 {
                    self.keep(&rest[..plain]);
                    rest = &rest[plain..];
                    continue;
                }
            }
            self.step(byte);
            rest = after;
        }
    }

    fn step(&mut self, byte: u8) {
        if self.is_in_string {
            self.keep(&[byte]);
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.keep(b"\"");
                self.is_in_string = true;
            }
            b'{' | b'[' => {
                self.keep(&[byte]);
                self.depth += 1;
                if self.depth == 1 {
                    self.token.clear();
                    // The members of an array have no names.
                    self.is_value = byte == b'[';
                }
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_token();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b',' if self.depth == 1 => {
                self.end_token();
                self.is_value = false;
            }
            b':' if self.depth == 1 => {
                self.names_id = self.token == br#""id""#;
                self.has_method |= self.token == br#""method""#;
                self.token.clear();
                self.is_value = true;
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.keep(&[byte]),
        }
    }

    /// Keeps bytes of a token of the top object. One that is too long is no id.
    fn keep(&mut self, bytes: &[u8]) {
        let free = TOKEN_BYTES_MAX.saturating_sub(self.token.len());
        if self.depth == 1 {
            self.token
                .extend_from_slice(&bytes[..bytes.len().min(free)]);
        }
    }

    fn end_token(&mut self) {
        if self.is_value && self.names_id && self.ids.len() < 2 {
            self.ids.push(std::mem::take(&mut self.token));
        }
        self.names_id = false;
        self.token.clear();
    }

    /// The id, if the bytes so far are a request that has one.
    pub fn id(&self) -> Option<OwnedId> {
        let [id] = &self.ids[..] else { return None };
        if !self.has_method || id.len() == TOKEN_BYTES_MAX {
            return None;
        }
        let text = str::from_utf8(id).ok()?;
        if let Ok(number) = text.parse() {
            return Some(OwnedId::Integer(number));
        }
        let string: String = serde_json::from_str(text).ok()?;
        Some(OwnedId::String(string.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::IdScanner;
    use crate::jsonrpc::{Id, OwnedId};

    /// The id of a text, which must not depend on how its bytes are split.
    #[track_caller]
    fn id_of(text: &[u8]) -> Option<OwnedId> {
        let mut whole = IdScanner::default();
        whole.read(text);
        let mut bytes = IdScanner::default();
        text.chunks(1).for_each(|byte| bytes.read(byte));
        let (whole, bytes) = (whole.id(), bytes.id());
        let text = String::from_utf8_lossy(text);
        assert_eq!(
            whole.as_ref().map(OwnedId::as_id),
            bytes.as_ref().map(OwnedId::as_id),
            "{text}"
        );
        whole
    }

    #[test]
    fn the_id_of_a_request_is_found_wherever_it_stands() {
        let deep = format!(
            r#"{{"p":{}1{},"method":"m","id":7}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        for (text, expected) in [
            (r#"{"id":7,"method":"m"}"#, Id::Integer(7)),
            (r#"{"method":"m","params":{"id":1},"id":7}"#, Id::Integer(7)),
            (
                r#" { "method" : "m" , "id" : -7 , "x" : [ 1 , { "id" : 2 } ] } "#,
                Id::Integer(-7),
            ),
            (r#"{"method":"m","id":"a\"b"}"#, Id::String("a\"b")),
            (r#"{"method":"m","id":"}","p":1}"#, Id::String("}")),
            (r#"{"method":"m","p":"\ud83d","id":7}"#, Id::Integer(7)),
            (r#"{"method":"m","id":7,"p":"\"id\":8,"}"#, Id::Integer(7)),
            (r#"{"method":"m","p":tru,"id":7}"#, Id::Integer(7)),
            // The rest of a text may be missing.
            (r#"{"id":7,"method":"m","p":[1,"#, Id::Integer(7)),
            (&deep, Id::Integer(7)),
        ] {
            let found = id_of(text.as_bytes());
            assert_eq!(found.as_ref().map(OwnedId::as_id), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_request_or_is_ambiguous_has_no_id() {
        let long = format!(r#"{{"method":"m","id":"{}"}}"#, "x".repeat(5000));
        for text in [
            "",
            "7",
            "\"id\":7",
            r#"{"id":7}"#,
            r#"{"id":7,"result":{"method":"m"}}"#,
            r#"{"method":"m"}"#,
            r#"{"method":"m","id":7,"id":8}"#,
            r#"{"method":"m","id":null}"#,
            r#"{"method":"m","id":1.5}"#,
            r#"{"method":"m","id":[7]}"#,
            r#"{"method":"m","id":{"id":7}}"#,
            r#"{"method":"m","params":{"id":7}}"#,
            r#"{"method":"m","id":7"#,
            r#"[{"method":"m","id":7}]"#,
            r#"["method",1,"id",7]"#,
            &long,
        ] {
            assert!(id_of(text.as_bytes()).is_none(), "{text}");
        }
        assert!(id_of(b"{\"method\":\"m\",\"id\":\"\xff\"}").is_none());
    }
}
