//! One message on each line: MCP basic/transports, "stdio", and transports with the same framing.
//!
//! Input: a [`Framer`] reads the unconsumed bytes of a stream and returns one line at a time,
//! borrowed from them. Lines end with LF or CRLF; lines of white space are skipped. A line that is
//! too long is given in parts, so that nothing of it need be kept, and the stream continues with
//! the next one. Output: [`write_line`] makes one line of a message.
//!
//! Invariant: the lines never depend on how the bytes were split on the way, and a search never
//! looks at a byte twice. It lacks deadlines, and does not read the contents of a line.

use memchr::{memchr, memchr2};

/// How much of the stream was understood. [`Framer::default`] is "nothing begun".
#[derive(Debug, Default)]
pub struct Framer {
    /// No line feed lies in the first bytes of the input, as many as this.
    searched: usize,
    /// The bytes up to the next line feed belong to a line that is too long.
    is_in_long: bool,
}

/// The result of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// No line is whole. Drop `consumed` bytes, append what arrives, and call again.
    NeedMore {
        /// Bytes at the start of the input that belong to no line.
        consumed: usize,
    },
    /// One whole line.
    Line {
        /// The line without its end; never empty.
        line: &'a [u8],
        /// Bytes of the input this line took; the next line starts there.
        consumed: usize,
    },
    /// A part of a line that has more bytes than it may have.
    TooLong {
        /// The part; may be empty.
        part: &'a [u8],
        /// Whether the line ends with it.
        is_last: bool,
        /// As of [`Step::Line`].
        consumed: usize,
    },
}

impl Framer {
    /// Looks for one whole line, of at most `line_bytes_max` bytes without its end, at the start of
    /// `input`.
    ///
    /// `input` starts at the first unconsumed byte of the stream. After each answer the caller
    /// drops `consumed` bytes of it, and keeps the others.
    ///
    /// # Panics
    /// If `input` is shorter than what was kept after the last [`Step::NeedMore`].
    pub fn step<'a>(&mut self, input: &'a [u8], line_bytes_max: usize) -> Step<'a> {
        let mut start = 0;
        loop {
            let from = start + std::mem::take(&mut self.searched);
            let Some(found) = memchr(b'\n', &input[from..]) else {
                return self.need_more(input, start, line_bytes_max);
            };
            let end = from + found;
            let line = input[start..end]
                .strip_suffix(b"\r")
                .unwrap_or(&input[start..end]);
            start = end + 1;
            if std::mem::take(&mut self.is_in_long) || line.len() > line_bytes_max {
                return Step::TooLong {
                    part: line,
                    is_last: true,
                    consumed: start,
                };
            }
            if !line.trim_ascii().is_empty() {
                let consumed = start;
                return Step::Line { line, consumed };
            }
        }
    }

    /// Whether it is as [`Framer::default`].
    pub fn is_fresh(&self) -> bool {
        self.searched == 0 && !self.is_in_long
    }

    /// Whether the stream is within a line that is too long.
    pub fn is_in_long(&self) -> bool {
        self.is_in_long
    }

    /// The answer to input whose last line, from `start` on, is not whole.
    fn need_more<'a>(&mut self, input: &'a [u8], start: usize, line_bytes_max: usize) -> Step<'a> {
        let part = &input[start..];
        // A carriage return may be the start of the line's end.
        let line = part.strip_suffix(b"\r").unwrap_or(part);
        if !part.is_empty() && self.is_in_long || line.len() > line_bytes_max {
            self.is_in_long = true;
            return Step::TooLong {
                part,
                is_last: false,
                consumed: input.len(),
            };
        }
        self.searched = part.len();
        Step::NeedMore { consumed: start }
    }
}

/// Appends a message in JSON as one line. Line ends within it can only be white space between
/// tokens (RFC 8259 section 2), and become spaces.
pub fn write_line(out: &mut Vec<u8>, message: &[u8]) {
    out.reserve(message.len() + 1);
    let mut rest = message;
    while let Some(at) = memchr2(b'\r', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(b' ');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::{Framer, Step, write_line};

    /// The longest line that the tests allow, in bytes.
    const LINE_BYTES_MAX: usize = 8;

    /// The result of a stream: its lines, and `None` for each that was too long and has ended.
    type Lines = Vec<Option<Vec<u8>>>;

    /// Plays a connection that receives `pieces`. Returns the lines, and the bytes without an end.
    fn drive<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Lines, Vec<u8>) {
        let (mut framer, mut input, mut lines) = (Framer::default(), Vec::new(), Lines::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                let consumed = match framer.step(&input, LINE_BYTES_MAX) {
                    Step::NeedMore { consumed } => {
                        input.drain(..consumed);
                        break;
                    }
                    Step::Line { line, consumed } => {
                        lines.push(Some(line.to_vec()));
                        consumed
                    }
                    Step::TooLong {
                        is_last, consumed, ..
                    } => {
                        lines.extend(is_last.then_some(None));
                        consumed
                    }
                };
                input.drain(..consumed);
            }
            // The kept bytes are a line within its limit, and the start of its end.
            assert!(input.len() <= LINE_BYTES_MAX + 1, "{input:?}");
        }
        (lines, input)
    }

    fn line(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_are_found_however_their_bytes_were_split() {
        let cases: &[(&str, Lines, &str)] = &[
            ("", vec![], ""),
            ("{}\n", vec![line("{}")], ""),
            ("{}\r\n", vec![line("{}")], ""),
            ("{}\n[]\n", vec![line("{}"), line("[]")], ""),
            ("{}", vec![], "{}"),
            ("{}\n[", vec![line("{}")], "["),
            ("{}\r", vec![], "{}\r"),
            // Empty lines, and lines of white space.
            ("\n\r\n \t\r\n{}\n\n", vec![line("{}")], ""),
            // A carriage return within a line is part of it.
            ("{\r}\n", vec![line("{\r}")], ""),
            // As long as a line may be, and one byte longer.
            ("12345678\n", vec![line("12345678")], ""),
            ("12345678\r\n", vec![line("12345678")], ""),
            ("123456789\n{}\n", vec![None, line("{}")], ""),
            ("12345678\r\r\n{}\n", vec![None, line("{}")], ""),
            ("123456789012345678901\r\n{}\n", vec![None, line("{}")], ""),
            ("123456789012345678901", vec![], ""),
            ("1234567890\n1234567890\n", vec![None, None], ""),
        ];
        for (input, lines, rest) in cases {
            let input = input.as_bytes();
            let expected = (lines.clone(), rest.as_bytes().to_vec());
            assert_eq!(drive([input]), expected, "whole: {input:?}");
            assert_eq!(drive(input.chunks(1)), expected, "bytes: {input:?}");
            for at in 0..input.len() {
                let (first, second) = input.split_at(at);
                assert_eq!(drive([first, second]), expected, "at {at}: {input:?}");
            }
        }
    }

    #[test]
    fn trailing_bytes_belong_to_the_next_line() {
        let mut framer = Framer::default();
        let step = framer.step(b"{}\n{\"a\"", LINE_BYTES_MAX);
        let (line, consumed): (&[u8], _) = (b"{}", 3);
        assert_eq!(step, Step::Line { line, consumed });
        let step = framer.step(b"{\"a\"", LINE_BYTES_MAX);
        assert_eq!(step, Step::NeedMore { consumed: 0 });
        let step = framer.step(b"{\"a\":1}\n", LINE_BYTES_MAX);
        let (line, consumed): (&[u8], _) = (b"{\"a\":1}", 8);
        assert_eq!(step, Step::Line { line, consumed });
    }

    #[test]
    fn a_long_line_is_given_in_parts_and_keeps_no_byte() {
        let mut framer = Framer::default();
        let part = [b'x'; 100];
        for _ in 0..4 {
            let step = framer.step(&part, LINE_BYTES_MAX);
            let expected = Step::TooLong {
                part: &part,
                is_last: false,
                consumed: 100,
            };
            assert_eq!(step, expected);
            assert!(framer.is_in_long());
        }
        let step = framer.step(b"", LINE_BYTES_MAX);
        assert_eq!(step, Step::NeedMore { consumed: 0 });
        let step = framer.step(b"y\r\n{}\n", LINE_BYTES_MAX);
        let expected = Step::TooLong {
            part: b"y",
            is_last: true,
            consumed: 3,
        };
        assert_eq!(step, expected);
        assert!(!framer.is_in_long());
        let step = framer.step(b"{}\n", LINE_BYTES_MAX);
        let (line, consumed): (&[u8], _) = (b"{}", 3);
        assert_eq!(step, Step::Line { line, consumed });
    }

    #[test]
    fn a_message_is_one_line_whatever_its_white_space() {
        let mut out = b"{}\n".to_vec();
        write_line(&mut out, b"{\n\t\"a\":\r\n 1\n}");
        write_line(&mut out, br#"{"text":"a\nb"}"#);
        let expected = "{}\n{ \t\"a\":   1 }\n{\"text\":\"a\\nb\"}\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
