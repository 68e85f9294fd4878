//! The client of a request: from its connection, the proxies in front, and its credential.

use std::sync::Arc;

use corelane_protocol::framing::http1::RequestHead;

use super::context::Context;
use crate::access;
use crate::guard::holder::HolderKey;
use crate::guard::identity::Identity;
use crate::guard::network::{ClientAddress, Network};
use crate::guard::peer::KnownPeer;

/// The client of a request, as far as it is known.
pub(super) struct Client {
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) holder: Option<HolderKey>,
    pub(super) address: Option<ClientAddress>,
}

impl Client {
    /// The client of a request before its credential is read.
    pub(super) fn of(
        head: &RequestHead<'_>,
        known: Option<&KnownPeer>,
        context: &Context<'_>,
    ) -> Client {
        let address = known.and_then(|known| context.access.client_address(head, known));
        let holder = match (known, address) {
            // A proxy names it.
            (Some(known), Some(address)) if known.address != Some(address) => {
                Some(context.endpoint.holder_of(Some(Network::from(address))))
            }
            (Some(known), _) => Some(known.holder),
            (None, _) => context.peer,
        };
        Client {
            identity: None,
            holder,
            address,
        }
    }

    /// The same with the source of its credentials, for access control.
    pub(super) fn with_source<'k>(&self, known: Option<&'k KnownPeer>) -> access::Client<'k> {
        let source = match known {
            Some(known) if known.identity.is_some() => Some(known.source()),
            _ => self.holder,
        };
        access::Client {
            known,
            source,
            address: self.address,
        }
    }

    /// Whether it has a name or a holder.
    pub(super) fn is_known(&self) -> bool {
        self.identity.is_some() || self.holder.is_some()
    }

    /// The peer of a channel that a request to the endpoint with this path opens.
    pub(super) fn into_peer(self, endpoint: &str) -> KnownPeer {
        KnownPeer {
            identity: self.identity,
            holder: self.holder.unwrap_or(HolderKey::ANONYMOUS),
            address: self.address,
            endpoint: Some(endpoint.into()),
            ..KnownPeer::default()
        }
    }
}
