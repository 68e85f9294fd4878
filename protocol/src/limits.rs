//! Limits on the input of a peer.
//!
//! Every number that bounds a decoder of this crate is either here, where a profile may set it, or
//! a named constant beside the code that applies it. There are no deadlines here: this crate reads
//! no clock.

/// Bounds of one HTTP/1.1 request.
///
/// A connection buffers at most one request that is not whole. Its input buffer has to hold
/// `head_bytes_max` plus, for a chunked body, twice `body_bytes_max` in the worst case: chunk
/// framing may take as many bytes as the data it frames (see
/// [`CHUNK_FRAMING_BYTES_SPARE`](crate::framing::http1::CHUNK_FRAMING_BYTES_SPARE)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Request line, header fields and the empty line after them, in bytes.
    pub head_bytes_max: usize,
    /// Header fields of one request. Values above [`HEADERS_CAPACITY`] act as that number.
    pub headers_max: usize,
    /// Request target (path and query) in bytes.
    pub target_bytes_max: usize,
    /// Body in bytes, without its chunk framing. Applies to every method.
    pub body_bytes_max: usize,
}

/// The most header fields a request can have, for any [`HttpLimits::headers_max`]: they are parsed
/// into an array of this many on the stack.
pub const HEADERS_CAPACITY: usize = 64;

impl HttpLimits {
    /// Limits in force unless a profile says otherwise; the defaults of the profile are these.
    pub const DEFAULT: Self = Self {
        head_bytes_max: 16 * 1024,
        headers_max: HEADERS_CAPACITY,
        target_bytes_max: 2 * 1024,
        body_bytes_max: 16 * 1024 * 1024,
    };

    /// No limits but those of the parser: for the head of a request that was within its limits when
    /// it was read, which may have been lowered since.
    pub const WIDEST: Self = Self {
        head_bytes_max: usize::MAX,
        headers_max: HEADERS_CAPACITY,
        target_bytes_max: usize::MAX,
        body_bytes_max: usize::MAX,
    };

    /// The number of header fields that is really allowed.
    pub(crate) fn headers_allowed(&self) -> usize {
        self.headers_max.min(HEADERS_CAPACITY)
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// An allowed target must fit into an allowed head, or its own limit has no effect.
const _: () = assert!(HttpLimits::DEFAULT.target_bytes_max < HttpLimits::DEFAULT.head_bytes_max);
const _: () = assert!(HttpLimits::DEFAULT.headers_max <= HEADERS_CAPACITY);
