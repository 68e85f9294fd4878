//! Why a request is not accepted.

use thiserror::Error;

use super::status::Status;

/// Longest method in bytes. The longest registered one, `UPDATEREDIRECTREF`, has 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// Longest line of a chunk size and its extensions, in bytes, without CRLF.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Longest trailer section in bytes, without the empty line that ends it.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// A request that cannot be accepted. It is always a fault of the peer and ends its connection,
/// because the start of the next request is unknown or cannot be trusted. The caller sends one
/// response with [`Refusal::status`] and `Connection: close`, then closes. The framer cannot be
/// used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The head did not end within its limit.
    #[error("request head has more than {limit_bytes} bytes (http.head_bytes_max)")]
    HeadTooLong {
        /// [`HttpLimits::head_bytes_max`](crate::limits::HttpLimits::head_bytes_max).
        limit_bytes: usize,
    },
    /// More header fields than allowed.
    #[error("request head has more than {limit} header fields (http.headers_max)")]
    TooManyHeaders {
        /// [`HttpLimits::headers_max`](crate::limits::HttpLimits::headers_max).
        limit: usize,
    },
    /// The request target is longer than allowed.
    #[error("request target has more than {limit_bytes} bytes (http.target_bytes_max)")]
    TargetTooLong {
        /// [`HttpLimits::target_bytes_max`](crate::limits::HttpLimits::target_bytes_max).
        limit_bytes: usize,
    },
    /// The method is longer than any method there is.
    #[error("method of more than {METHOD_BYTES_MAX} bytes exceeds limit of {METHOD_BYTES_MAX}")]
    MethodTooLong,
    /// The announced length of the body exceeds the limit, or a chunk exceeds it.
    #[error(
        "request body of {body_bytes} bytes exceeds limit of {limit_bytes} (http.body_bytes_max)"
    )]
    BodyTooLong {
        /// Length known at the time of the refusal: for a chunked body a lower bound.
        body_bytes: u64,
        /// [`HttpLimits::body_bytes_max`](crate::limits::HttpLimits::body_bytes_max).
        limit_bytes: usize,
    },
    /// The chunks are so small that their framing outweighs their data.
    #[error("chunk framing of {framing_bytes} bytes exceeds limit of {limit_bytes}")]
    ChunkFramingTooLong {
        /// Bytes of sizes, extensions and line ends.
        framing_bytes: usize,
        /// Data bytes so far plus
        /// [`CHUNK_FRAMING_BYTES_SPARE`](super::CHUNK_FRAMING_BYTES_SPARE).
        limit_bytes: usize,
    },
    /// A chunk size and its extensions are longer than allowed.
    #[error(
        "chunk size line of more than {CHUNK_LINE_BYTES_MAX} bytes exceeds limit of \
         {CHUNK_LINE_BYTES_MAX}"
    )]
    ChunkLineTooLong,
    /// The trailer fields are longer than allowed.
    #[error("trailer of more than {TRAILER_BYTES_MAX} bytes exceeds limit of {TRAILER_BYTES_MAX}")]
    TrailerTooLong,
    /// An HTTP version other than 1.0 and 1.1; HTTP/2 with prior knowledge ends here too.
    #[error("http version is neither 1.0 nor 1.1")]
    UnsupportedVersion,
    /// A line of the head or of chunk framing ends without CR (RFC 9112 2.2, 7.1).
    #[error("line feed without carriage return")]
    BareLineFeed,
    /// More than one empty line before the request line (RFC 9112 2.2).
    #[error("more than 1 empty line before the request line")]
    LeadingEmptyLines,
    /// The first line is no request line (RFC 9112 3).
    #[error("malformed request line")]
    MalformedRequestLine,
    /// A line is no header field: bad name, space before the colon, line folding, leading white
    /// space, control bytes in the value (RFC 9112 5).
    #[error("malformed header field")]
    MalformedHeader,
    /// The target is neither a path nor an absolute `http` or `https` URI (RFC 9112 3.2).
    #[error("request target is neither a path nor an absolute http uri")]
    UnsupportedTarget,
    /// HTTP/1.1 without `Host` (RFC 9112 3.2).
    #[error("host header field is missing")]
    MissingHost,
    /// More than one `Host` (RFC 9112 3.2).
    #[error("host header field is repeated")]
    RepeatedHost,
    /// `Host` or the authority of an absolute target is not a host with an optional port.
    #[error("host is not a name or address with an optional port")]
    InvalidHost,
    /// Two statements of the body's length (RFC 9112 6.1).
    #[error("both content-length and transfer-encoding are present")]
    LengthAndCoding,
    /// Two statements of the body's length, even if they agree (RFC 9112 6.3).
    #[error("content-length header field is repeated")]
    RepeatedContentLength,
    /// Not `1*DIGIT`, or more than 64 bits.
    #[error("content-length is not a decimal number of at most 64 bits")]
    InvalidContentLength,
    /// A transfer coding other than `chunked` (RFC 9112 6.1).
    #[error("transfer coding is not known")]
    UnknownTransferCoding,
    /// `chunked` is not the last and only coding, or the field is repeated (RFC 9112 6.1, 6.3).
    #[error("transfer-encoding is repeated, empty, or has chunked before its end")]
    InvalidTransferEncoding,
    /// HTTP/1.0 has no transfer codings (RFC 9112 6.1).
    #[error("transfer-encoding in an http/1.0 request")]
    TransferEncodingInOldVersion,
    /// `Expect` names something other than `100-continue` (RFC 9110 10.1.1).
    #[error("expectation is not known")]
    UnknownExpectation,
    /// Not `1*16HEXDIG` with optional extensions (RFC 9112 7.1).
    #[error("chunk size is not a hexadecimal number of at most 16 digits")]
    InvalidChunkSize,
    /// The data of a chunk is longer than its size says (RFC 9112 7.1).
    #[error("chunk data is not followed by a line end")]
    UnterminatedChunk,
    /// A line after the last chunk is no field (RFC 9112 7.1.2).
    #[error("malformed trailer field")]
    MalformedTrailer,
}

impl Refusal {
    /// The status of the one response that precedes the close.
    pub fn status(&self) -> Status {
        match self {
            Self::BodyTooLong { .. } | Self::ChunkFramingTooLong { .. } => Status::ContentTooLarge,
            Self::TargetTooLong { .. } => Status::UriTooLong,
            Self::HeadTooLong { .. } | Self::TooManyHeaders { .. } | Self::TrailerTooLong => {
                Status::RequestHeaderFieldsTooLarge
            }
            // RFC 9112 3: 501 for a method longer than any the server implements.
            Self::UnknownTransferCoding | Self::MethodTooLong => Status::NotImplemented,
            Self::UnsupportedVersion => Status::HttpVersionNotSupported,
            Self::UnknownExpectation => Status::ExpectationFailed,
            Self::ChunkLineTooLong
            | Self::BareLineFeed
            | Self::LeadingEmptyLines
            | Self::MalformedRequestLine
            | Self::MalformedHeader
            | Self::UnsupportedTarget
            | Self::MissingHost
            | Self::RepeatedHost
            | Self::InvalidHost
            | Self::LengthAndCoding
            | Self::RepeatedContentLength
            | Self::InvalidContentLength
            | Self::InvalidTransferEncoding
            | Self::TransferEncodingInOldVersion
            | Self::InvalidChunkSize
            | Self::UnterminatedChunk
            | Self::MalformedTrailer => Status::BadRequest,
        }
    }
}
