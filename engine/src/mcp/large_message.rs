//! A body that was decoded away from its shard, on the pool.

use corelane_protocol::jsonrpc::{
    DecodeError, Document, JsonLimits, Message, OwnedDocument, OwnedId,
};

use super::ahead::Ahead;
use crate::catalog::Plan;

/// A decoded body with the results of work done ahead. It borrows nothing: it goes from the pool to
/// the shard of its connection, and from there to the home shard of a session.
#[derive(Debug)]
pub(crate) struct LargeMessage {
    document: OwnedDocument,
    ahead: Ahead,
    bytes: usize,
    /// Its text, if an upstream may get it.
    text: Option<Box<[u8]>>,
}

impl LargeMessage {
    /// Decodes `body` and does work ahead, for the tools and prompts of `plan`.
    ///
    /// # Errors
    /// If `body` is not exactly one JSON text, or it exceeds a limit.
    pub(super) fn decode(
        body: &[u8],
        limits: JsonLimits,
        plan: &Plan,
        batch_max: usize,
    ) -> Result<LargeMessage, DecodeError> {
        let document = OwnedDocument::decode(body, limits)?;
        let ahead = Ahead::of(document.document(), plan, batch_max);
        Ok(LargeMessage {
            document,
            ahead,
            bytes: body.len(),
            text: plan.has_relayed().then(|| body.into()),
        })
    }

    pub(super) fn document(&self) -> Document<'_> {
        self.document.document()
    }

    /// The id of the request, if it is one.
    pub(crate) fn id(&self) -> Option<OwnedId> {
        match self.document().message() {
            Ok(Message::Request { id, .. }) => Some(OwnedId::from(id)),
            _ => None,
        }
    }

    /// Length of its text.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its text, if an upstream may get it.
    pub(super) fn text(&self) -> Option<&[u8]> {
        self.text.as_deref()
    }

    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }
}
