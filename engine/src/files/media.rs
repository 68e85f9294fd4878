//! The media type of a file, by its name and its bytes.

/// The type of bytes without other information (RFC 2046 4.5.1).
const BYTES: &str = "application/octet-stream";
/// The type of text without other information.
const TEXT: &str = "text/plain";
/// The meaning of `.ts` before TypeScript. Most served files of that name are source code now, so
/// the name alone does not decide.
const AMBIGUOUS: &str = "video/vnd.dlna.mpeg-tts";

/// Whether the content is text: valid UTF-8.
#[must_use]
pub(crate) fn is_text(content: &[u8]) -> bool {
    std::str::from_utf8(content).is_ok()
}

/// The media type that the ending of a file's name stands for, if it is a known one.
#[must_use]
pub(crate) fn mime_of_name(relative: &str) -> Option<&'static str> {
    let guessed = mime_guess::from_path(relative).first_raw();
    guessed.filter(|guessed| *guessed != AMBIGUOUS)
}

/// The media type of a file, by its name, or else by whether its content is text.
#[must_use]
pub(crate) fn mime_type(relative: &str, content: &[u8]) -> &'static str {
    let of_content = if is_text(content) { TEXT } else { BYTES };
    mime_of_name(relative).unwrap_or(of_content)
}

#[cfg(test)]
mod tests {
    use super::{is_text, mime_type};

    #[test]
    fn names_the_type_by_ending_or_else_by_content() {
        let (text, bytes): (&[u8], &[u8]) = (b"text", b"\xff\xfe");
        for (relative, content, expected) in [
            ("a.md", text, "text/markdown"),
            ("a/b.JSON", text, "application/json"),
            ("a.png", bytes, "image/png"),
            ("a.svg", text, "image/svg+xml"),
            ("a.rs", text, "text/x-rust"),
            ("a.ts", text, "text/plain"),
            ("a.ts", bytes, "application/octet-stream"),
            ("a.html/LICENSE", text, "text/plain"),
            ("core", bytes, "application/octet-stream"),
            ("a.of-no-known-kind", text, "text/plain"),
            (".png", text, "text/plain"),
            ("", b"", "text/plain"),
        ] {
            assert_eq!(mime_type(relative, content), expected, "{relative}");
        }
    }

    #[test]
    fn distinguishes_text_from_bytes() {
        for (content, expected) in [
            (&b""[..], true),
            ("grüße, 日本".as_bytes(), true),
            (b"\xc3", false),
            (b"\xff", false),
            (b"\xed\xa0\x80", false),
        ] {
            assert_eq!(is_text(content), expected, "{content:?}");
        }
    }
}
