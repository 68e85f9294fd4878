//! Requests of other shards' connections.

use corelane_protocol::jsonrpc::OwnedId;

use super::Endpoint;
use crate::mcp::disposition::{Disposition, Forwarded, ForwardedKind};
use crate::mcp::inbound::Inbound;
use crate::mcp::requester::Requester;
use crate::mcp::session_id::NamedSession;

impl Endpoint {
    /// Handles a request that another shard forwarded to this one, the home of its session or task.
    pub(crate) fn handle_forwarded(
        &mut self,
        request: Forwarded,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let Forwarded {
            exchange,
            session,
            seal,
            revision,
            caller_info,
            trace,
            kind,
            id,
        } = request;
        let requester = &Requester::Elsewhere(caller_info.as_deref());
        let inbound = Inbound::new(requester, exchange).with_trace(trace.as_ref());
        let services = &mut self.services;
        debug_assert_eq!(
            session.home, services.context.settings.shard,
            "forwarded to the home shard"
        );
        if let Some(sealed) = seal {
            let (id, seal) = (id.as_ref().map(OwnedId::as_id), &*sealed.seal);
            let named = NamedSession {
                id: sealed.named,
                node: sealed.node,
                seal,
            };
            let client = (inbound, Some(sealed.holder), id);
            if let Err(refused) = services.restore(session, named, client, out) {
                return refused;
            }
        }
        match kind {
            ForwardedKind::OpenStream(opening) => {
                services.recheck_subscriptions(session, inbound);
                services
                    .session_streams()
                    .open(inbound, session, opening, out)
            }
            ForwardedKind::EndSession => services.delete_session(session, inbound, out),
            ForwardedKind::StreamGone => {
                services
                    .session_streams()
                    .connection_gone(session, exchange);
                Disposition::Done
            }
            ForwardedKind::ClientHungUp => {
                services.session_streams().client_hung_up(session, exchange);
                Disposition::Done
            }
            ForwardedKind::Modern(body) => self.with_document(body, |services, document, rest| {
                let message = document.and_then(|it| it.message().ok());
                services.forwarded_modern(inbound.with(rest), message, out)
            }),
            ForwardedKind::Post(body) => self.with_document(body, |services, document, rest| {
                let to = (session, revision);
                let inbound = inbound.with(rest);
                services.forwarded(to, inbound, document, out)
            }),
        }
    }
}
