//! The numbers of close frames that this side sends: RFC 6455 section 7.4.1.

/// The reasons for which this side closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// 1001: the server shuts down.
    GoingAway = 1001,
    /// 1002: the peer broke a rule of the protocol.
    ProtocolError = 1002,
    /// 1003: the message is of a kind that is not taken, such as binary.
    UnsupportedData = 1003,
    /// 1007: the message does not fit its kind, such as text that is not UTF-8.
    InvalidData = 1007,
    /// 1008: the peer broke a rule of the server, such as a deadline.
    PolicyViolation = 1008,
    /// 1009: the message is too long.
    TooBig = 1009,
    /// 1013: the server has too much to do, and the client may try again later.
    TryAgainLater = 1013,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }
}
