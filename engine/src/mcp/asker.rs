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

    /// What a handler may know.
    pub(super) fn provenance(self, exposed: &ExposedHeaders) -> Option<Box<Provenance>> {
        match self {
            Asker::Here { head, principal } => {
                // A head is walked only for what is looked for in it.
                let looked_for = (!exposed.is_empty()).then(|| head.headers());
                let fields = looked_for.into_iter().flatten();
                Provenance::of(principal, exposed, fields)
            }
            Asker::Elsewhere(provenance) => provenance.cloned().map(Box::new),
        }
    }
}
