//! The client behind an event, as its record names it.

use crate::guard::audit::{Event, Record};
use crate::guard::identity::Identity;
use crate::guard::network::ClientAddress;
use crate::mcp::home_id::HOME_ID_BYTES;
use crate::mcp::requester::Requester;
use crate::mcp::session_id::SessionId;

/// The client behind an event, as far as it is known.
#[derive(Clone, Copy, Default)]
pub(in crate::mcp) struct Actor<'a> {
    pub(in crate::mcp) identity: Option<&'a Identity>,
    /// Its address, if peers are looked up.
    pub(in crate::mcp) peer: Option<ClientAddress>,
    pub(in crate::mcp) session: Option<SessionId>,
}

impl<'a> Actor<'a> {
    /// The client that sent a message, in this session.
    pub(in crate::mcp) fn of(
        requester: &'a Requester<'a>,
        session: Option<SessionId>,
    ) -> Actor<'a> {
        Actor {
            identity: requester.identity().map(|identity| &**identity),
            peer: requester.address(),
            session,
        }
    }

    /// The client of a session that is not named here: the record of its beginning does that.
    pub(in crate::mcp) fn of_session(session: SessionId) -> Actor<'static> {
        Actor {
            session: Some(session),
            ..Actor::default()
        }
    }

    /// The id of the session as it is on the wire. Lines have the start of its hash only.
    pub(super) fn session_text(self) -> Option<[u8; HOME_ID_BYTES]> {
        self.session.map(SessionId::to_text)
    }

    /// A record of an event, without the session.
    pub(super) fn record(self, event: Event) -> Record<'a> {
        let issuer = self.identity.map(|identity| &*identity.issuer);
        Record {
            principal: self.identity.map(Identity::principal_key),
            client: self.identity.and_then(|it| it.client.as_deref()),
            issuer: issuer.filter(|alias| !alias.is_empty()),
            peer: self.peer,
            ..Record::new(event, 0)
        }
    }
}
