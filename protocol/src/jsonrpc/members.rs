//! Byte ranges of the members of an object, without a tree.
//!
//! A relay replaces a few members of a message and passes the rest on as it came, so it needs to
//! know where they stand. Names are compared after unescaping. A name that is searched for and
//! occurs twice is refused: two readers could see two messages.
//!
//! Invariant: for a text that [`Decoder`](super::Decoder) accepts, the ranges are those of the
//! values on its tape; for any other bytes the result is a fault or some ranges, never a panic. It
//! lacks validation: the decoder has accepted the text before.

use std::ops::Range;

use memchr::{memchr, memchr2};

/// Bytes at the start of a string that are searched for its end in words: most strings of a message
/// are shorter, and a vector search costs more to begin than it saves there.
const IN_WORDS_BYTES: usize = 64;

/// Why the members of an object cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersFault {
    /// The text is not one object.
    #[error("text is not a JSON object")]
    NotAnObject,
    /// A name that was searched for occurs twice.
    #[error("member \"{0}\" occurs twice in its object")]
    Duplicate(&'static str),
}

/// The members of a message that routing needs, as ranges of its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageMembers {
    /// The value of `id`.
    pub id: Option<Range<usize>>,
    /// The value of `method`, with its quotes.
    pub method: Option<Range<usize>>,
    /// The value of `params`.
    pub params: Option<Range<usize>>,
    /// The value of `result`.
    pub result: Option<Range<usize>>,
    /// The value of `error`.
    pub error: Option<Range<usize>>,
}

impl MessageMembers {
    /// Finds the members of the message `text`.
    ///
    /// # Errors
    /// [`MembersFault`] if the text is no object, or one of these members is there twice.
    ///
    /// ```
    /// use corelane_protocol::jsonrpc::MessageMembers;
    /// let text = br#"{"id":7,"method":"tools/call","params":{"name":"a"}}"#;
    /// let members = MessageMembers::read(text)?;
    /// assert_eq!(members.id, Some(6..7));
    /// assert_eq!(&text[members.params.unwrap()], br#"{"name":"a"}"#);
    /// # Ok::<(), corelane_protocol::jsonrpc::MembersFault>(())
    /// ```
    pub fn read(text: &[u8]) -> Result<MessageMembers, MembersFault> {
        const NAMES: [&str; 5] = ["id", "method", "params", "result", "error"];
        let [id, method, params, result, error] = find_members(text, 0..text.len(), NAMES)?;
        Ok(MessageMembers {
            id,
            method,
            params,
            result,
            error,
        })
    }
}

/// The ranges of the values of the members called `names` of the object at `object`; ranges count
/// from the start of `text`.
///
/// # Errors
/// [`MembersFault`] if there is no object, or one of `names` occurs twice in it.
///
/// # Panics
/// If `object` lies outside of `text`.
pub fn find_members<const N: usize>(
    text: &[u8],
    object: Range<usize>,
    names: [&'static str; N],
) -> Result<[Option<Range<usize>>; N], MembersFault> {
    divide_members(text, object, names, |_, _| ())
}

/// As [`find_members`]; calls `visit` as [`visit_members`] does with each member that is not called
/// one of `names`.
///
/// # Errors
/// As for [`find_members`].
///
/// # Panics
/// If `object` lies outside of `text`.
pub fn divide_members<const N: usize>(
    text: &[u8],
    object: Range<usize>,
    names: [&'static str; N],
    mut visit: impl FnMut(&[u8], Range<usize>),
) -> Result<[Option<Range<usize>>; N], MembersFault> {
    let mut found = [const { None }; N];
    let mut scanner = Scanner {
        text: &text[..object.end],
        at: object.start,
    };
    let whole = scanner.members(|name, value| {
        let Some(place) = names.iter().position(|known| is_name(name, known)) else {
            visit(name, value);
            return Ok(());
        };
        match found[place].replace(value) {
            Some(_) => Err(MembersFault::Duplicate(names[place])),
            None => Ok(()),
        }
    });
    whole?;
    Ok(found)
}

/// Calls `visit` with the name of each member of the object at `object`, as it stands between its
/// quotes, and the range of its value.
///
/// # Errors
/// [`MembersFault`] if there is no object.
///
/// # Panics
/// If `object` lies outside of `text`.
///
/// ```
/// use corelane_protocol::jsonrpc::visit_members;
/// let mut found = Vec::new();
/// visit_members(br#"{"a":1,"b":[2]}"#, 0..15, |name, value| found.push((name.to_vec(), value)))?;
/// assert_eq!(found, [(b"a".to_vec(), 5..6), (b"b".to_vec(), 11..14)]);
/// # Ok::<(), corelane_protocol::jsonrpc::MembersFault>(())
/// ```
pub fn visit_members(
    text: &[u8],
    object: Range<usize>,
    mut visit: impl FnMut(&[u8], Range<usize>),
) -> Result<(), MembersFault> {
    let mut scanner = Scanner {
        text: &text[..object.end],
        at: object.start,
    };
    scanner.members(|name, value| {
        visit(name, value);
        Ok(())
    })
}

/// Whether a name as it stands between its quotes is `known`, after unescaping.
pub fn is_name(raw: &[u8], known: &str) -> bool {
    let is_same = raw == known.as_bytes();
    // An escape is longer than the character it stands for.
    let is_longer = raw.len() > known.len();
    let may_be_escaped =
        is_longer && (raw[0] == b'\\' || known.as_bytes().first() == Some(&raw[0]));
    if !is_same && !may_be_escaped {
        return false;
    }
    if memchr(b'\\', raw).is_none() {
        return is_same;
    }
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).is_ok_and(|name| name == known)
}

/// A place in a text.
struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scanner<'_> {
    /// Calls `visit` with the raw name and the range of the value of each member.
    fn members(
        &mut self,
        mut visit: impl FnMut(&[u8], Range<usize>) -> Result<(), MembersFault>,
    ) -> Result<(), MembersFault> {
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return self.expect_end();
        }
        loop {
            self.expect(b'"')?;
            let start = self.at;
            self.skip_string()?;
            let name = start..self.at - 1;
            self.expect(b':')?;
            self.peek();
            let start = self.at;
            self.skip_value()?;
            visit(&self.text[name], start..self.at)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => break,
            }
        }
        self.expect(b'}')?;
        self.expect_end()
    }

    /// The next byte that is no white space, which is left there.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.get(self.at..)?;
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.at += rest.iter().take_while(space).count();
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), MembersFault> {
        if self.peek() != Some(byte) {
            return Err(MembersFault::NotAnObject);
        }
        self.at += 1;
        Ok(())
    }

    fn expect_end(&mut self) -> Result<(), MembersFault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(MembersFault::NotAnObject),
        }
    }

    /// Goes behind the string whose opening quote was just passed.
    fn skip_string(&mut self) -> Result<(), MembersFault> {
        loop {
            let rest = self.text.get(self.at..).ok_or(MembersFault::NotAnObject)?;
            let stop = string_stop(rest).ok_or(MembersFault::NotAnObject)?;
            let is_end = rest[stop] == b'"';
            self.at += stop + if is_end { 1 } else { 2 };
            if is_end {
                return Ok(());
            }
        }
    }

    fn skip_value(&mut self) -> Result<(), MembersFault> {
        match self.text.get(self.at) {
            Some(b'"') => {
                self.at += 1;
                self.skip_string()
            }
            Some(b'{' | b'[') => self.skip_container(),
            _ => self.skip_scalar(),
        }
    }

    /// Goes behind the object or array that starts here.
    fn skip_container(&mut self) -> Result<(), MembersFault> {
        let mut depth = 0_usize;
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => self.skip_string()?,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err(MembersFault::NotAnObject)
    }

    fn skip_scalar(&mut self) -> Result<(), MembersFault> {
        let rest = &self.text[self.at.min(self.text.len())..];
        let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
        let bytes = rest.iter().position(is_end).unwrap_or(rest.len());
        self.at += bytes;
        (bytes > 0).then_some(()).ok_or(MembersFault::NotAnObject)
    }
}

/// The place of the first quote or backslash.
fn string_stop(text: &[u8]) -> Option<usize> {
    let (start, rest) = text.split_at(text.len().min(IN_WORDS_BYTES));
    let (words, last) = start.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let stops = zero_bytes(word ^ (EACH_BYTE * u64::from(b'"')))
            | zero_bytes(word ^ (EACH_BYTE * u64::from(b'\\')));
        if stops != 0 {
            return Some(8 * index + stops.trailing_zeros() as usize / 8);
        }
    }
    let is_stop = |byte: &u8| matches!(byte, b'"' | b'\\');
    if let Some(stop) = last.iter().position(is_stop) {
        return Some(start.len() - last.len() + stop);
    }
    Some(start.len() + memchr2(b'"', b'\\', rest)?)
}

/// 1 in each byte.
const EACH_BYTE: u64 = u64::from_le_bytes([1; 8]);

/// A word whose lowest bit that is set is in the first byte that is 0; 0 if there is none.
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(EACH_BYTE) & !word & (EACH_BYTE << 7)
}

#[cfg(test)]
mod tests;
