//! One connection of any transport: a request starts an [`Exchange`], which brings the
//! messages that belong to it, its answer last.

use std::sync::Arc;

use corelane_protocol::mcp::era_probe;
use corelane_protocol::mcp::revision::Revision;

use crate::error::Error;
#[cfg(feature = "http")]
use crate::http::{HttpExchange, HttpWire};
use crate::lines::{LineExchange, LineWire};
use crate::message::{Incoming, Outgoing};

/// A transport.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    #[cfg(feature = "http")]
    Http(Arc<HttpWire>),
    Lines(Arc<LineWire>),
}

/// Why a request has no exchange.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The legacy session of this id is gone. The request was not executed.
    SessionLost(String),
    /// A status without a message of JSON-RPC.
    Status(u16),
    /// An answer that is no message.
    Unreadable,
    /// Any other error.
    Failed(Error),
}

/// The session and the revision of a message.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub revision: Revision,
    pub session: Option<String>,
}

impl Wire {
    /// The kind of the transport, for the probe of the era.
    pub(crate) fn kind(&self) -> era_probe::Wire {
        match self {
            #[cfg(feature = "http")]
            Wire::Http(_) => era_probe::Wire::Http,
            Wire::Lines(_) => era_probe::Wire::Lines,
        }
    }

    /// Sends a request.
    pub(crate) async fn start(
        &self,
        message: &Outgoing,
        envelope: &Envelope,
    ) -> Result<Exchange, StartError> {
        match self {
            #[cfg(feature = "http")]
            Wire::Http(wire) => wire.start(message, envelope).await.map(Exchange::Http),
            Wire::Lines(wire) => {
                let exchange = wire.start(message).await;
                exchange.map(Exchange::Lines).map_err(StartError::Failed)
            }
        }
    }

    /// Waits for the end of a connection of lines; HTTP has no end.
    pub(crate) async fn closed(&self) {
        match self {
            #[cfg(feature = "http")]
            Wire::Http(_) => std::future::pending().await,
            Wire::Lines(wire) => wire.closed().await,
        }
    }

    /// Sends a notification or a response.
    pub(crate) async fn post(&self, message: &Outgoing, envelope: &Envelope) -> Result<(), Error> {
        match self {
            #[cfg(feature = "http")]
            Wire::Http(wire) => wire.post(message, envelope).await,
            Wire::Lines(wire) => wire.post(message).await,
        }
    }
}

/// One request under way. Dropping it ends a response stream of HTTP.
#[derive(Debug)]
pub(crate) enum Exchange {
    #[cfg(feature = "http")]
    Http(Box<HttpExchange>),
    Lines(LineExchange),
}

impl Exchange {
    /// The next message of the exchange: notifications and requests of the server, then the
    /// response. It may be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Error> {
        match self {
            #[cfg(feature = "http")]
            Exchange::Http(exchange) => exchange.next().await,
            Exchange::Lines(exchange) => exchange.next().await,
        }
    }

    /// The id of the session that the answer assigns.
    pub(crate) fn session(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "http")]
            Exchange::Http(exchange) => exchange.session(),
            Exchange::Lines(_) => None,
        }
    }
}
