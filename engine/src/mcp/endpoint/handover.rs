//! Sessions and streams that another process takes over.
//!
//! A session is copied: its calls end where they run, and everything else is as its client left
//! it. Its kept events stay behind, so that a stream goes on with the next number, and nothing
//! before that can be requested again.

use corelane_protocol::jsonrpc::{Id, OwnedId};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::logging::LogLevel;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::subscription::ListKinds;

use super::Endpoint;
use crate::guard::holder::{HolderKey, Holders};
use crate::handover::rows::{EndedRow, IdRow, SessionRow, StreamOfRow, StreamRow, TEXT_BYTES_MAX};
use crate::mcp::endings::SessionEnd;
use crate::mcp::event_store::StreamId;
use crate::mcp::exchange::{Exchange, StreamOwner};
use crate::mcp::session_id::{NamedSession, SessionId};
use crate::mcp::sessions::{OpenStream, Session};
use crate::mcp::subscriptions::{Subscription, subscribed};
use crate::meter::Counter;

impl Endpoint {
    /// Another process takes the sessions over, or does not. If it does, no request changes one: it
    /// is refused as in a drain, and its client finds the other process.
    pub(crate) fn set_leaving(&mut self, is_leaving: bool) {
        self.services.context.set_leaving(is_leaving);
    }

    /// The sessions at `rows_max` places from `from` on, and the place of the next ones.
    pub(crate) fn leaving_sessions(
        &self,
        from: usize,
        rows_max: usize,
    ) -> (Vec<SessionRow>, Option<usize>) {
        let places = self.services.sessions.places();
        let until = from.saturating_add(rows_max).min(places);
        let sessions = (from..until).filter_map(|place| self.services.sessions.at_place(place));
        let rows = sessions.flat_map(|session| self.rows_of(session));
        (rows.collect(), (until < places).then_some(until))
    }

    /// None for the session of a channel, which ends with it. A session with long subscriptions has
    /// several rows.
    fn rows_of(&self, session: &Session) -> Vec<SessionRow> {
        let open = session.streams();
        if open.iter().any(|open| open.exchange.is_on_channel) {
            return Vec::new();
        }
        let uris = session.subscriptions.iter().map(|uri| &**uri);
        let mut uris = divided(uris).into_iter();
        let mut rows = vec![self.row_of(session, uris.next().unwrap_or_default())];
        for subscriptions in uris {
            rows.push(SessionRow {
                is_more: true,
                subscriptions,
                streams: Vec::new(),
                ..rows[0].clone()
            });
        }
        rows
    }

    fn row_of(&self, session: &Session, subscriptions: Vec<String>) -> SessionRow {
        let open = session.streams();
        let row_of = |stream: StreamId, at: Option<String>| {
            let next = self.services.streams.next_of(stream)?;
            let StreamId(stream) = stream;
            Some(StreamRow { stream, next, at })
        };
        let named = open.iter().filter_map(|open| {
            let at = Some(place_of(open.exchange));
            row_of(open.stream?, at)
        });
        let lost = session.lost_stream.and_then(|lost| row_of(lost, None));
        let streams = named.chain(lost);
        let principal = self.services.sessions.principal_of(session);
        let now_ms = self.services.context.now_ms();
        SessionRow {
            id: text_of(session.id),
            revision: session.revision.as_str().to_owned(),
            capabilities: session.capabilities.bits(),
            lists: session.lists.bits(),
            level: session.log_level.as_str().to_owned(),
            principal: principal.map(str::to_owned),
            holder: session.holder().bits(),
            age_ms: now_ms.saturating_sub(session.created_ms),
            is_more: false,
            subscriptions,
            streams: streams.collect(),
            lost_stream: session.lost_stream.map(|StreamId(stream)| stream),
        }
    }

    /// The sessions that ended for good.
    pub(crate) fn ended_sessions(&self) -> Vec<EndedRow> {
        let home = self.services.context.settings.shard;
        let row = |(random, until_s)| EndedRow {
            id: text_of(SessionId { home, random }),
            until_s,
        };
        self.services.sessions.restorer.ended().map(row).collect()
    }

    /// A session of an earlier process ended for good.
    pub(crate) fn take_ended(&mut self, row: &EndedRow) {
        let restorer = &mut self.services.sessions.restorer;
        if let Some(id) = session_of(&row.id) {
            restorer.note_ended_until(id, row.until_s);
        }
    }

    /// Takes a session over that lives on this shard; with `is_checked` there is access control.
    /// Returns whether it did: the row may be wrong, or there is no room.
    pub(crate) fn take_session(&mut self, row: &SessionRow, is_checked: bool) -> bool {
        let services = &mut self.services;
        let revision = Revision::ALL
            .into_iter()
            .find(|it| it.as_str() == row.revision);
        let revision = revision.filter(|it| it.era() == Era::Legacy);
        let (Some(id), Some(revision)) = (self::session_of(&row.id), revision) else {
            return false;
        };
        let id = id.among(services.context.settings.shards);
        if row.is_more {
            return self.take_more(id, row);
        }
        let level = LogLevel::parse(&row.level);
        let is_here = id.home == services.context.settings.shard;
        let (Some(log_level), false, true) = (level, services.sessions.contains(id), is_here)
        else {
            return false;
        };
        let principal = row.principal.as_deref();
        // Its share begins anew with the clients of this process.
        let holder = match principal {
            Some(name) => Holders::default().of_principal(name),
            None => HolderKey::from_bits(row.holder),
        };
        let capabilities = ClientCapabilities::from_bits(row.capabilities);
        let terms = (revision, capabilities.of_revision(revision));
        let now_ms = services.context.now_ms();
        let owner = (principal, holder);
        let Ok(evicted) = services.sessions.create_as(id.random, owner, terms, now_ms) else {
            return false;
        };
        services.context.meter.count(Counter::SessionsOpen);
        let mut lost_stream = None;
        for row_of in &row.streams {
            let stream = (row_of.stream, row_of.next);
            let stream = services.streams.adopt((id, holder), stream);
            if row.lost_stream == Some(row_of.stream) {
                lost_stream = Some(stream);
            }
        }
        let uris = row.subscriptions.iter();
        let uris = uris.filter(|uri| services.catalog.has_resource(uri));
        let port = services.calls.port();
        let uris = uris.filter_map(|uri| subscribed(&services.catalog, port, uri));
        let subscriptions = uris.collect();
        let configuration = services.subscriptions.configuration_of_before(is_checked);
        if let Some(session) = services.sessions.find(id) {
            session.created_ms = now_ms.saturating_sub(row.age_ms);
            session.lists = ListKinds::from_bits(row.lists);
            session.log_level = log_level;
            session.lost_stream = lost_stream;
            session.subscriptions = subscriptions;
            session.configuration = configuration;
        }
        if let Some(evicted) = evicted {
            services.endings().end_session(evicted, SessionEnd::Evicted);
        }
        true
    }

    /// Takes further subscriptions of a session over that is here.
    fn take_more(&mut self, id: SessionId, row: &SessionRow) -> bool {
        let services = &mut self.services;
        let uris = row.subscriptions.iter();
        let uris = uris.filter(|uri| services.catalog.has_resource(uri));
        let port = services.calls.port();
        let uris = uris.filter_map(|uri| subscribed(&services.catalog, port, uri));
        let uris: Vec<_> = uris.collect();
        let Some(session) = services.sessions.find(id) else {
            return false;
        };
        session.subscriptions.extend(uris);
        true
    }

    /// The owner of an open stream as it is written; none if it stays here.
    pub(crate) fn leaving_stream(
        &mut self,
        owner: StreamOwner,
        exchange: Exchange,
    ) -> Option<StreamOfRow> {
        match owner {
            StreamOwner::Session(of) if !of.ends_with_answer => Some(StreamOfRow::Session {
                id: text_of(of.session),
                at: place_of(exchange),
            }),
            StreamOwner::Listen(place) => {
                let subscription = self.services.subscriptions.open.get(place as usize)?;
                let id_bytes = match &subscription.id {
                    OwnedId::String(id) => id.len(),
                    OwnedId::Integer(_) | OwnedId::Unsigned(_) => 0,
                };
                let uris_bytes: usize = subscription.uris.iter().map(|uri| uri.len()).sum();
                let is_long = id_bytes + uris_bytes > TEXT_BYTES_MAX;
                if is_long || subscription.tasks.is_some() || !subscription.is_acknowledged() {
                    return None;
                }
                Some(StreamOfRow::Listen {
                    id: match &subscription.id {
                        OwnedId::Integer(id) => IdRow::Integer(*id),
                        OwnedId::Unsigned(id) => IdRow::Unsigned(*id),
                        OwnedId::String(id) => IdRow::Text(id.to_string()),
                    },
                    lists: subscription.lists.bits(),
                    uris: subscription
                        .uris
                        .iter()
                        .map(|uri| (**uri).to_owned())
                        .collect(),
                    holder: subscription.holder.bits(),
                })
            }
            StreamOwner::Session(_) | StreamOwner::Calls(_) => None,
        }
    }

    /// Takes a subscription over whose stream is open at `exchange`; returns its place. None if its
    /// client has its share.
    pub(crate) fn take_subscription(
        &mut self,
        row: &StreamOfRow,
        exchange: Exchange,
        is_checked: bool,
    ) -> Option<StreamOwner> {
        let StreamOfRow::Listen {
            id,
            lists,
            uris,
            holder,
        } = row
        else {
            return None;
        };
        let services = &mut self.services;
        let holder = HolderKey::from_bits(*holder);
        if services.subscriptions.shares.is_at_share(holder) {
            return None;
        }
        let port = services.calls.port();
        let uris = uris.iter().filter(|uri| services.catalog.has_resource(uri));
        let uris = uris.filter_map(|uri| subscribed(&services.catalog, port, uri));
        let id = match id {
            IdRow::Integer(id) => Id::Integer(*id),
            IdRow::Unsigned(id) => Id::from(*id),
            IdRow::Text(id) => Id::String(id),
        };
        let subscription = Subscription {
            id: OwnedId::from(id),
            exchange,
            lists: ListKinds::from_bits(*lists),
            uris: uris.collect(),
            tasks: None,
            holder,
            configuration: services.subscriptions.configuration_of_before(is_checked),
        };
        let place = services.subscriptions.insert(subscription);
        Some(StreamOwner::Listen(place))
    }

    /// The stream of a session of this shard is open at `exchange`. Returns whether there is such a
    /// session.
    pub(crate) fn take_stream(
        &mut self,
        session: SessionId,
        stream: Option<u64>,
        exchange: Exchange,
    ) -> bool {
        let sessions = &mut self.services.sessions;
        let is_there = sessions.contains(session);
        if is_there {
            let stream = stream.map(StreamId);
            sessions.open_stream(session, OpenStream { stream, exchange });
        }
        is_there
    }
}

/// Divides URIs among rows. One that no row holds is left out, and logged.
fn divided<'a>(uris: impl Iterator<Item = &'a str>) -> Vec<Vec<String>> {
    let (mut rows, mut bytes) = (Vec::<Vec<String>>::new(), 0);
    for uri in uris {
        if uri.len() > TEXT_BYTES_MAX {
            tracing::warn!(
                bytes = uri.len(),
                "a subscription of a session is lost: another process gets no URI of more than \
                 {TEXT_BYTES_MAX} bytes"
            );
            continue;
        }
        match rows
            .last_mut()
            .filter(|_| bytes + uri.len() <= TEXT_BYTES_MAX)
        {
            Some(row) => {
                bytes += uri.len();
                row.push(uri.to_owned());
            }
            None => {
                bytes = uri.len();
                rows.push(vec![uri.to_owned()]);
            }
        }
    }
    rows
}

/// The place of an exchange in a row.
fn place_of(exchange: Exchange) -> String {
    let (slot, sequence) = (exchange.slot, exchange.sequence);
    let shard = exchange.shard;
    format!("{shard}.{}.{}.{sequence}", slot.index, slot.generation)
}

fn text_of(id: SessionId) -> String {
    String::from_utf8_lossy(&id.to_text()).into_owned()
}

/// The session with this text in a row.
pub(crate) fn session_of(text: &str) -> Option<SessionId> {
    let named = NamedSession::parse(text.as_bytes())?;
    named.seal.is_empty().then_some(named.id)
}

#[cfg(test)]
mod tests {
    use super::{TEXT_BYTES_MAX, divided};

    #[test]
    fn long_subscriptions_have_several_rows_and_too_long_ones_none() {
        let uri = |bytes: usize| "x".repeat(bytes);
        let half = TEXT_BYTES_MAX / 2;
        let uris = [
            uri(half),
            uri(half),
            uri(1),
            uri(TEXT_BYTES_MAX + 1),
            uri(2),
        ];
        let rows = divided(uris.iter().map(String::as_str));
        let lengths = rows.iter().map(|row| row.iter().map(String::len).collect());
        let lengths: Vec<Vec<usize>> = lengths.collect();
        assert_eq!(lengths, [vec![half, half], vec![1, 2]]);
        assert!(divided(std::iter::empty()).is_empty());
    }
}
