//! Messages that are decoded away from the shard: handed over, and handled when they come back.

use corelane_protocol::binding::refusal::Reason;
#[cfg(test)]
use corelane_protocol::jsonrpc::DecodeError;
use corelane_protocol::jsonrpc::{Document, OwnedId};

use super::Endpoint;
use crate::handler::offload::JobId;
use crate::mcp::decoding::{Decoded, Undecoded};
use crate::mcp::disposition::Disposition;
use crate::mcp::forward_budget::PostedBody;
use crate::mcp::inbound::Inbound;
use crate::mcp::large_message::LargeMessage;
use crate::mcp::services::Services;

/// A decoded message, and its body.
type Posted<'a> = (Document<'a>, PostedBody<'a>);
/// The disposition of a message, and the id of a request that waits on a channel.
type Admitted = (Disposition, Option<OwnedId>);

impl Endpoint {
    /// Whether a body of so many bytes is to be decoded elsewhere, and not to be handled at once.
    pub(crate) fn decodes_elsewhere(&self, body_bytes: usize) -> bool {
        self.decoding.takes(body_bytes)
    }

    /// Begins to decode the body of a request elsewhere. It comes back with
    /// [`Endpoint::poll_decoded`], and is handled by [`Endpoint::handle_large_message`] then.
    ///
    /// # Errors
    /// The reason to refuse the request, and the id for that on a channel.
    pub(crate) fn begin_decoding(
        &self,
        request: Undecoded,
    ) -> Result<JobId, (Reason<'static>, Option<OwnedId>)> {
        let plan = self.services.catalog.plan();
        let begun = self.decoding.begin(request, plan);
        begun.map_err(|(_, id)| {
            let text = "too many large messages wait to be decoded (offload.queue_max)";
            (Reason::Overloaded(text), id)
        })
    }

    /// Cancels the decoding of a body; returns whether it had not begun.
    pub(crate) fn cancel_decoding(&self, id: JobId) -> bool {
        self.decoding.cancel(id)
    }

    /// Takes the next request with a decoded body.
    pub(crate) fn poll_decoded(&mut self) -> Option<Decoded> {
        self.decoding.poll()
    }

    /// Frees a decoded request that will not be handled: its connection is gone.
    pub(crate) fn discard_decoded(&self, decoded: Decoded) {
        if let Some(Ok(message)) = decoded.message {
            self.decoding.free(message);
        }
    }

    /// Whether there is one.
    pub(crate) fn has_decoded(&self) -> bool {
        self.decoding.has_decoded()
    }

    /// Handles the body of a POST to the endpoint that was decoded elsewhere, as
    /// [`Endpoint::handle_message`] does.
    pub(crate) fn handle_large_message(
        &mut self,
        inbound: Inbound<'_>,
        message: Box<LargeMessage>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let admit = |services: &mut Services, inbound: Inbound<'_>, posted: Posted<'_>| {
            (services.admit_any(inbound, posted, out), None)
        };
        self.handle_large(inbound, message, admit).0
    }

    /// Handles a message of a channel that was decoded elsewhere, as
    /// [`Endpoint::handle_channel_message`] does.
    pub(crate) fn handle_large_channel_message(
        &mut self,
        inbound: Inbound<'_>,
        message: Box<LargeMessage>,
        out: &mut Vec<u8>,
    ) -> Admitted {
        let admit = |services: &mut Services, inbound: Inbound<'_>, posted: Posted<'_>| {
            services.admit_on_channel(inbound, posted, out)
        };
        self.handle_large(inbound, message, admit)
    }

    fn handle_large(
        &mut self,
        inbound: Inbound<'_>,
        message: Box<LargeMessage>,
        admit: impl FnOnce(&mut Services, Inbound<'_>, Posted<'_>) -> Admitted,
    ) -> Admitted {
        let inbound = inbound.with_text(message.text());
        let ahead = inbound.with_ahead(Some(message.ahead()));
        let bytes = message.bytes();
        let posted = (message.document(), PostedBody::Large { bytes });
        let (mut disposition, id) = admit(&mut self.services, ahead, posted);
        match &mut disposition {
            Disposition::Forward { request, .. } => request.kind.put(message),
            _ => self.decoding.free(message),
        }
        (disposition, id)
    }

    /// The decoder of large messages, for tests that run it themselves.
    #[cfg(test)]
    pub(crate) fn decoder_of_large_messages(
        &self,
    ) -> impl Fn(&[u8]) -> Result<Box<LargeMessage>, DecodeError> + Send + use<> {
        self.decoding.decoder(self.services.catalog.plan())
    }
}
