//! Who hears of changes, and telling them: listen streams of modern clients, GET streams of
//! sessions.
//!
//! Changes are told in shares of a turn, so that a hundred thousand streams do not hold up a call:
//! a telling remembers how far it came. A stream that opens meanwhile may hear of a change that
//! is older than itself, which only makes its client ask once more.

mod interest;

use corelane_protocol::binding::accept::Accept;
use corelane_protocol::binding::http::ModernRequest;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{RequestHead, Status};
use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::subscription::{
    Filter, FilterLimits, ListKind, ListKinds, write_ended, write_list_changed, write_updated,
};
use slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;

use super::dispatch::invalid_params;
use super::endpoint::Core;
use super::watch_note::ListenerName;
use super::{Delivery, Disposition, Exchange, Part, StreamOwner};
use crate::catalog::Catalog;
use crate::catalog::board::Changes;
use interest::TaskInterest;

/// Listen streams and sessions looked at in one turn.
const TOLD_PER_TURN: usize = 512;

/// One `subscriptions/listen`.
#[derive(Debug)]
struct Listener {
    /// Id of its request, which every message on it repeats.
    id: OwnedId,
    exchange: Exchange,
    /// Few streams ask for resources: the lists stand apart from them.
    lists: ListKinds,
    uris: Box<[Box<str>]>,
    /// Fewer ask for tasks.
    tasks: Option<Box<TaskInterest>>,
}

impl Listener {
    /// Whether it was told what of its filter is honoured; nothing else comes before that.
    fn is_acknowledged(&self) -> bool {
        let tasks = self.tasks.as_ref();
        tasks.is_none_or(|tasks| tasks.is_acknowledged())
    }
}

/// Who listens on this shard, and what is being told.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    listeners: Slab<Listener>,
    tellings: VecDeque<Telling>,
    /// Listeners with the status of a task that waits for room, once for each status.
    holding: VecDeque<ListenerName>,
}

/// A change on its way to everybody.
#[derive(Debug)]
struct Telling {
    what: Told,
    /// Listeners before this place were told.
    next_listener: usize,
    /// Sessions before this place were told.
    next_session: usize,
}

#[derive(Debug, Clone)]
enum Told {
    List(ListKind),
    Updated(Arc<str>),
}

impl Told {
    fn write(&self, out: &mut Vec<u8>, subscription: Option<&OwnedId>) {
        let subscription = subscription.map(OwnedId::as_id);
        match self {
            Told::List(kind) => write_list_changed(out, *kind, subscription),
            Told::Updated(uri) => write_updated(out, uri, subscription),
        }
    }

    fn concerns(&self, lists: ListKinds, uris: &[Box<str>]) -> bool {
        match self {
            Told::List(kind) => lists.contains(*kind),
            Told::Updated(uri) => uris.iter().any(|known| **known == **uri),
        }
    }
}

impl Subscriptions {
    fn has_work(&self) -> bool {
        !self.tellings.is_empty()
    }

    fn tell(&mut self, what: Told) {
        self.tellings.push_back(Telling {
            what,
            next_listener: 0,
            next_session: 0,
        });
    }
}

impl Core {
    /// `subscriptions/listen` of `principal`: a stream that stays open.
    pub(super) fn listen(
        &mut self,
        (head, principal): (&RequestHead<'_>, Option<&str>),
        request: &ModernRequest<'_>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let id = request.id;
        if !Accept::read(head.accept).event_stream {
            let reason = Reason::NotAcceptable("text/event-stream");
            return self.refuse(Some(id), reason, out);
        }
        if self.is_draining {
            return self.refuse(Some(id), Reason::Draining, out);
        }
        let limits = FilterLimits {
            uris_max: self.settings.subscriptions_per_session_max,
            task_ids_max: self.settings.tasks_per_listen_max,
        };
        let mut filter = match Filter::read(request.params, limits) {
            Ok(filter) => filter,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        self.keep_what_is_honoured(&mut filter);
        let needed = ClientCapability::Tasks;
        if !filter.task_ids.is_empty() && !request.envelope.capabilities.contains(needed) {
            return self.refuse(Some(id), Reason::MissingCapability(needed), out);
        }
        let key = self.subscriptions.listeners.insert(Listener {
            id: OwnedId::from(id),
            exchange,
            lists: filter.lists,
            uris: filter.uris.into(),
            tasks: TaskInterest::of(&filter.task_ids, self.settings.shards),
        });
        let place = key as u32;
        // What is delivered comes when the head of the stream is written.
        self.begin_to_listen(ListenerName { place, exchange }, principal);
        Disposition::Stream(StreamOwner::Listen(place))
    }

    /// Takes what this server never tells out of a filter.
    fn keep_what_is_honoured(&self, filter: &mut Filter) {
        let offer = self.catalog.offer();
        let mut lists = ListKinds::default();
        for kind in ListKind::ALL {
            let is_offered = match kind {
                ListKind::Tools => true,
                ListKind::Prompts => offer.prompts,
                ListKind::Resources => offer.resources,
            };
            if is_offered && filter.lists.contains(kind) {
                lists.insert(kind);
            }
        }
        filter.lists = lists;
        filter.uris.retain(|uri| self.has_resource(uri));
        if !offer.tasks {
            filter.task_ids.clear();
        }
    }

    /// The stream of a listener is gone.
    pub(crate) fn listener_gone(&mut self, place: u32) {
        let gone = self.subscriptions.listeners.try_remove(place as usize);
        if let Some(listener) = gone {
            self.lose_interest(place, &listener);
        }
    }

    /// Ends every listen stream with its result: the server goes away.
    pub(super) fn end_subscriptions(&mut self) {
        let listeners = std::mem::take(&mut self.subscriptions.listeners);
        for (key, listener) in listeners {
            if !listener.is_acknowledged() {
                self.acknowledge(&listener);
            }
            self.lose_interest(key as u32, &listener);
            let mut body = Vec::new();
            write_ended(&mut body, listener.id.as_id(), &self.stamp);
            let status = Status::Ok;
            self.deliveries.push_back(Delivery {
                exchange: listener.exchange,
                part: Part::Final { status, body },
            });
        }
        self.subscriptions.tellings.clear();
    }

    /// Takes over what has changed; everybody who asked for it is told in the next turns.
    pub(crate) fn apply(&mut self, changes: Changes) {
        if let Some(plan) = changes.plan {
            self.catalog = Catalog::new(plan);
        }
        // Lists are told when every shard has come this far.
        drop(changes.adoption);
        for kind in ListKind::ALL {
            if changes.lists.contains(kind) {
                self.subscriptions.tell(Told::List(kind));
            }
        }
        for uri in changes.uris {
            self.subscriptions.tell(Told::Updated(uri));
        }
    }

    /// Whether somebody has to be told something.
    pub(crate) fn is_telling(&self) -> bool {
        self.subscriptions.has_work() || self.tasks.watchers.has_due()
    }

    /// Goes on telling, at most a share of it.
    pub(crate) fn go_on_telling(&mut self) {
        let mut budget = TOLD_PER_TURN;
        while let Some(mut telling) = self.subscriptions.tellings.pop_front() {
            if !self.tell_share(&mut telling, &mut budget) {
                self.subscriptions.tellings.push_front(telling);
                return;
            }
        }
        self.tell_watchers(&mut budget);
    }

    /// Tells until the budget is spent; returns whether all were told.
    fn tell_share(&mut self, telling: &mut Telling, budget: &mut usize) -> bool {
        let listeners = &self.subscriptions.listeners;
        while telling.next_listener < listeners.capacity() {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let listener = listeners.get(telling.next_listener);
            telling.next_listener += 1;
            let listener = listener.filter(|it| it.is_acknowledged());
            let Some(listener) = listener else { continue };
            if telling.what.concerns(listener.lists, &listener.uris) {
                let mut event = Vec::new();
                telling.what.write(&mut event, Some(&listener.id));
                self.deliveries.push_back(Delivery {
                    exchange: listener.exchange,
                    part: Part::message(event),
                });
            }
        }
        while telling.next_session < self.sessions.places() {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let session = self.sessions.at_place(telling.next_session);
            telling.next_session += 1;
            let Some(session) = session else { continue };
            let wants = match &telling.what {
                Told::List(_) => true,
                Told::Updated(uri) => session.subscriptions.iter().any(|it| **it == **uri),
            };
            if wants {
                let id = session.id;
                let mut event = Vec::new();
                telling.what.write(&mut event, None);
                self.tell_session(id, event);
            }
        }
        true
    }
}
