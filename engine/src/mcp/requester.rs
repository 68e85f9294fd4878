//! Who sent a message: on a connection of this shard, or on one of another.

use corelane_protocol::framing::http1::RequestHead;

use super::holder::{HolderKey, Holders};
use crate::handler::caller_info::{CallerInfo, ExposedHeaders};

/// Who sent a message. Having one tells you that the guard let the request pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requester<'a> {
    /// Somebody on a connection of this shard.
    Here {
        /// The head of the request.
        head: &'a RequestHead<'a>,
        /// Who it is; nobody in particular if absent.
        principal: Option<&'a str>,
        /// In whose share it counts if it is nobody in particular, once that was looked up.
        peer: Option<HolderKey>,
    },
    /// Somebody on a connection of another shard, which sent along what is needed here.
    Elsewhere(Option<&'a CallerInfo>),
}

impl<'a> Requester<'a> {
    /// Who it is; nobody in particular if absent.
    pub(crate) fn principal(self) -> Option<&'a str> {
        match self {
            Requester::Here { principal, .. } => principal,
            Requester::Elsewhere(caller_info) => caller_info?.principal(),
        }
    }

    /// In whose share it counts; nothing if that has to be looked up first. What another shard sent
    /// holds nothing by itself: sessions know their holders.
    pub(super) fn holder(self, holders: &Holders) -> Option<HolderKey> {
        match (self.principal(), self) {
            (Some(name), _) => Some(holders.of_principal(name)),
            (None, Requester::Here { peer, .. }) => peer,
            (None, Requester::Elsewhere(_)) => Some(HolderKey::ANONYMOUS),
        }
    }

    /// What a handler may know. A head is walked only for what is looked for in it.
    #[inline]
    pub(super) fn caller_info(self, exposed: &ExposedHeaders) -> Option<Box<CallerInfo>> {
        match self {
            Requester::Here {
                head, principal, ..
            } => match (principal, exposed.is_empty()) {
                (None, true) => None,
                (_, true) => CallerInfo::of(principal, exposed, std::iter::empty()),
                (_, false) => CallerInfo::of(principal, exposed, head.headers()),
            },
            Requester::Elsewhere(caller_info) => caller_info.cloned().map(Box::new),
        }
    }

    /// The head of the request, on the shard it came in on.
    pub(super) fn head(self) -> Option<&'a RequestHead<'a>> {
        match self {
            Requester::Here { head, .. } => Some(head),
            Requester::Elsewhere(_) => None,
        }
    }
}
