//! Messages that are decoded away from the shard: handed over, and handled when they come back.

use corelane_protocol::binding::refusal::Reason;
#[cfg(test)]
use corelane_protocol::jsonrpc::DecodeError;

use super::Endpoint;
use crate::handler::offload::JobId;
use crate::mcp::decoding::{Decoded, Undecoded};
use crate::mcp::disposition::Disposition;
use crate::mcp::forward_budget::PostedBody;
use crate::mcp::inbound::Inbound;
use crate::mcp::large_message::LargeMessage;

impl Endpoint {
    /// Whether a body of so many bytes is to be decoded elsewhere, and not to be handled at once.
    pub(crate) fn decodes_elsewhere(&self, body_bytes: usize) -> bool {
        self.decoding.takes(body_bytes)
    }

    /// Begins to decode the body of a request elsewhere. It comes back with
    /// [`Endpoint::poll_decoded`], and is handled by [`Endpoint::handle_large_message`] then.
    ///
    /// # Errors
    /// The reason to refuse the request.
    pub(crate) fn begin_decoding(&self, request: Undecoded) -> Result<JobId, Reason<'static>> {
        let plan = self.services.catalog.plan();
        let begun = self.decoding.begin(request, plan);
        begun.map_err(|_| Reason::Overloaded("too many large messages wait to be decoded"))
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
        let ahead = inbound.with_ahead(Some(message.ahead()));
        let bytes = message.bytes();
        let posted = (message.document(), PostedBody::Large { bytes });
        let mut disposition = self.services.admit_any(ahead, posted, out);
        match &mut disposition {
            Disposition::Forward { request, .. } => request.kind.put(message),
            _ => self.decoding.free(message),
        }
        disposition
    }

    /// The decoder of large messages, for tests that run it themselves.
    #[cfg(test)]
    pub(crate) fn decoder_of_large_messages(
        &self,
    ) -> impl Fn(&[u8]) -> Result<Box<LargeMessage>, DecodeError> + Send + use<> {
        self.decoding.decoder(self.services.catalog.plan())
    }
}
