//! Why a connection of the generator is of no use any more.

use corelane_protocol::framing::http1::ResponseFault;
use corelane_protocol::framing::websocket::Fault;

/// A fault of the server, after which nothing is read from its connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConnectionFault {
    /// Bytes that are no HTTP answer.
    #[error(transparent)]
    Response(#[from] ResponseFault),
    /// The server does not complete the handshake of WebSocket.
    #[error("the server does not upgrade to WebSocket")]
    NotUpgraded,
    /// Frames that break the protocol.
    #[error("the server breaks WebSocket: {0}")]
    WebSocket(Fault),
    /// A close frame.
    #[error("the server closed the connection")]
    Closed,
    /// A handshake that failed, or records that break TLS.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}
