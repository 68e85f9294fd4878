//! Why bytes of a server are no HTTP answer.
//!
//! Invariant: each fault is the server's, and ends the connection.

/// The most bytes of a response head.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 64 << 10;
/// The most interim answers (1xx) before one answer.
pub const INTERIM_ANSWERS_MAX: u8 = 8;

/// Why bytes are no HTTP answer; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    /// Not a head of HTTP/1.1.
    #[error("the server does not answer in HTTP/1.1")]
    Head,
    /// A head of too many bytes.
    #[error("response head exceeds limit of {RESPONSE_HEAD_BYTES_MAX} bytes")]
    HeadBytes,
    /// Fields that leave open where the answer ends (RFC 9112 6.3).
    #[error("the server's answer has no single length")]
    Framing,
    /// A content coding or transfer coding that was not requested.
    #[error("the server's answer has a coding that was not requested")]
    Coding,
    /// 101, or too many other interim answers.
    #[error("the server switches protocols, or sends more than {INTERIM_ANSWERS_MAX} 1xx answers")]
    Interim,
    /// Chunks that are none.
    #[error("the chunked encoding of the answer is broken")]
    Chunk,
    /// A message of too many bytes.
    #[error("message exceeds limit of {0} bytes")]
    MessageBytes(usize),
    /// The connection ended within an answer.
    #[error("the connection ended within an answer")]
    Truncated,
}
