//! UTF-8 in pieces: RFC 3629, as RFC 6455 section 8.1 demands it.

use simdutf8::compat::from_utf8;

/// Checks a text piece by piece, and fails at the first byte after which no text is possible.
#[derive(Debug, Default)]
pub(super) struct Utf8Checker {
    /// The start of a character that is arriving.
    start: [u8; 3],
    start_bytes: u8,
}

/// The bytes are no text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotText;

impl Utf8Checker {
    /// Checks the next piece.
    pub(super) fn check(&mut self, mut piece: &[u8]) -> Result<(), NotText> {
        while self.start_bytes > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            self.add(byte)?;
            piece = rest;
        }
        match from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotText),
            Err(error) => {
                let start = &piece[error.valid_up_to()..];
                self.start[..start.len()].copy_from_slice(start);
                self.start_bytes = start.len() as u8;
                Ok(())
            }
        }
    }

    /// Adds a byte to the character that has begun.
    fn add(&mut self, byte: u8) -> Result<(), NotText> {
        let at = usize::from(self.start_bytes);
        let mut character = [0; 4];
        character[..at].copy_from_slice(&self.start[..at]);
        character[at] = byte;
        match from_utf8(&character[..=at]) {
            Ok(_) => self.start_bytes = 0,
            Err(error) if error.error_len().is_some() => return Err(NotText),
            Err(_) => {
                // Of four bytes none is missing: there are at most three here.
                self.start[at] = byte;
                self.start_bytes += 1;
            }
        }
        Ok(())
    }

    /// Whether the text may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.start_bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8Checker;

    /// The number of bytes after which the text is refused, if it is; and whether it is whole.
    fn check(bytes: &[u8]) -> (Option<usize>, bool) {
        let mut checker = Utf8Checker::default();
        for (at, byte) in bytes.iter().enumerate() {
            if checker.check(&[*byte]).is_err() {
                return (Some(at + 1), false);
            }
        }
        (None, checker.is_whole())
    }

    #[test]
    fn refuses_at_the_first_byte_that_makes_a_text_impossible() {
        for (bytes, expected) in [
            (&b""[..], (None, true)),
            ("aß水🄍".as_bytes(), (None, true)),
            (b"a\xc3", (None, false)),
            (b"\xf0\x9f\x84", (None, false)),
            (b"\xf4\x8f\xbf\xbf", (None, true)),
            (b"\xed\x9f\xbf", (None, true)),
            (b"\x80", (Some(1), false)),
            (b"\xc0\x80", (Some(1), false)),
            (b"\xe0\x80\x80", (Some(2), false)),
            (b"\xed\xa0\x80", (Some(2), false)),
            (b"\xf4\x90\x80\x80", (Some(2), false)),
            (b"\xf5", (Some(1), false)),
            (b"\xff", (Some(1), false)),
            (b"\xc3a", (Some(2), false)),
            (b"\xf0\x9f\x84a", (Some(4), false)),
        ] {
            assert_eq!(check(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn agrees_with_the_standard_library_on_all_short_texts() {
        // All pairs of bytes behind the start of each kind of character.
        for start in [&b""[..], b"a", b"\xe1", b"\xf1\x80", b"\xed", b"\xf0"] {
            for pair in 0..=u16::MAX {
                let text = [start, &pair.to_be_bytes()].concat();
                let is_text = std::str::from_utf8(&text).is_ok();
                for split in 0..=text.len() {
                    let mut checker = Utf8Checker::default();
                    let (first, second) = text.split_at(split);
                    let taken = checker.check(first).and_then(|()| checker.check(second));
                    let is_taken = taken.is_ok() && checker.is_whole();
                    assert_eq!(is_taken, is_text, "{text:x?} at {split}");
                }
            }
        }
    }
}
