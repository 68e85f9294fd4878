//! Who sent a message: on a connection of this shard, or on one of another.

use corelane_protocol::framing::http1::RequestHead;

use crate::handler::provenance::{ExposedHeaders, Provenance};

/// Who sent a message. Having one tells you that the guard let the request pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker<'a> {
    /// Somebody on a connection of this shard.
    Here {
        /// The head of the request.
        head: &'a RequestHead<'a>,
        /// Who it is; nobody in particular if absent.
        principal: Option<&'a str>,
    },
    /// Somebody on a connection of another shard, which sent along what is needed here.
    Elsewhere(Option<&'a Provenance>),
}

impl<'a> Asker<'a> {
    /// Who it is; nobody in particular if absent.
    pub(crate) fn principal(self) -> Option<&'a str> {
        match self {
            Asker::Here { principal, .. } => principal,
            Asker::Elsewhere(provenance) => provenance?.principal(),
        }
    }

    /// What a handler may know. A head is walked only for what is looked for in it.
    #[inline]
    pub(super) fn provenance(self, exposed: &ExposedHeaders) -> Option<Box<Provenance>> {
        match self {
            Asker::Here { head, principal } => match (principal, exposed.is_empty()) {
                (None, true) => None,
                (_, true) => Provenance::of(principal, exposed, std::iter::empty()),
                (_, false) => Provenance::of(principal, exposed, head.headers()),
            },
            Asker::Elsewhere(provenance) => provenance.cloned().map(Box::new),
        }
    }

    /// The head of the request, on the shard it came in on.
    pub(super) fn head(self) -> Option<&'a RequestHead<'a>> {
        match self {
            Asker::Here { head, .. } => Some(head),
            Asker::Elsewhere(_) => None,
        }
    }
}
