//! Why a value does not fit a type, in serde's words.
//!
//! Invariant: the length is bounded, because the text quotes the peer and goes back to it. It lacks
//! positions in bytes: the author of a call can act on the path.

use std::fmt::{self, Display, Write};

/// How much of a message serde wrote is kept, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 512;
/// How long a path may grow, in bytes; outer parts beyond it are left out.
pub(super) const PATH_BYTES_MAX: usize = 256;

/// Why a value does not fit a type. The peer's fault; for params the code is
/// [`crate::jsonrpc::INVALID_PARAMS`].
#[derive(Debug)]
pub struct DeserializeError {
    details: Box<Details>,
}

#[derive(Debug)]
struct Details {
    path: String,
    path_full: bool,
    message: String,
}

impl DeserializeError {
    /// The path within the value, as `arguments.rows[3].name`; empty for the value itself, at most
    /// 256 bytes. Of a longer path only the innermost parts are kept.
    pub fn path(&self) -> &str {
        &self.details.path
    }

    /// The fault at that path, at most 512 bytes.
    pub fn message(&self) -> &str {
        &self.details.message
    }

    /// Puts a part in front of the path. A full path stays as it is, so that its ending is always
    /// correct.
    #[cold]
    fn within(mut self, part: fmt::Arguments<'_>, part_bytes: usize) -> DeserializeError {
        let details = &mut *self.details;
        details.path_full |= details.path.len() + part_bytes >= PATH_BYTES_MAX;
        if !details.path_full {
            let inner = std::mem::take(&mut details.path);
            let dot = if inner.is_empty() || inner.starts_with('[') {
                ""
            } else {
                "."
            };
            details.path = format!("{part}{dot}{inner}");
        }
        self
    }

    /// Records that the error is within the member of that name.
    pub(super) fn within_member(self, name: &str) -> DeserializeError {
        self.within(format_args!("{name}"), name.len())
    }

    /// Records that the error is within the element of that index.
    pub(super) fn within_element(self, index: usize) -> DeserializeError {
        // Brackets and the digits of the largest index.
        self.within(format_args!("[{index}]"), 22)
    }
}

impl Display for DeserializeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            "" => formatter.write_str(self.message()),
            path => write!(formatter, "{path}: {}", self.message()),
        }
    }
}

impl std::error::Error for DeserializeError {}

impl serde::de::Error for DeserializeError {
    #[cold]
    fn custom<T: Display>(message: T) -> DeserializeError {
        let mut bounded = Bounded(String::new());
        // The error means that the bound was reached; the text before it stays.
        let _ = write!(bounded, "{message}");
        DeserializeError {
            details: Box::new(Details {
                path: String::new(),
                path_full: false,
                message: bounded.0,
            }),
        }
    }
}

/// Takes text up to [`MESSAGE_BYTES_MAX`] and cuts it there between two characters.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MESSAGE_BYTES_MAX - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let cut = (0..=room).rev().find(|cut| text.is_char_boundary(*cut));
        self.0.push_str(&text[..cut.unwrap_or(0)]);
        Err(fmt::Error)
    }
}
