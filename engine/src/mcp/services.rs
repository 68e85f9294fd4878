//! The services of a shard, and the operations that borrow them.
//!
//! Each service owns its state in its own file. An operation is a struct of borrows: its fields
//! name the services that it uses, and no operation gets all of them. This file has no logic of its
//! own; the routes of messages are in the files beside it.

mod admission;
mod batch;
mod channel;
mod clustering;
mod handshake;
mod legacy;
mod lists;
mod modern;
mod restoring;

pub(super) use admission::Routed;
pub(super) use clustering::{SessionLeft, UNSURE};

use super::broadcasting::Broadcasting;
use super::call_events::CallEvents;
use super::calls::Calls;
use super::clustered::Clustered;
use super::context::Context;
use super::endings::Endings;
use super::listening::Listening;
use super::notifier::Notifier;
use super::outbox::Outbox;
use super::permissions::Permissions;
use super::questions::Questions;
use super::rate_limits::RateLimits;
use super::session_streams::SessionStreams;
use super::sessions::Sessions;
use super::start::Starter;
use super::streams::Streams;
use super::subscriptions::Subscriptions;
use super::task_requests::TaskRequests;
use super::task_updates::TaskUpdates;
use super::task_watching::TaskWatching;
use super::tasks::Tasks;
use crate::catalog::Catalog;

/// The services of a shard.
pub(super) struct Services {
    pub(super) context: Context,
    pub(super) catalog: Catalog,
    pub(super) permissions: Permissions,
    pub(super) limits: RateLimits,
    pub(super) questions: Questions,
    pub(super) calls: Calls,
    pub(super) sessions: Sessions,
    pub(super) streams: Streams,
    pub(super) subscriptions: Subscriptions,
    pub(super) tasks: Tasks,
    pub(super) outbox: Outbox,
    /// The part in a cluster, if the server is in one.
    pub(super) clustered: Option<Box<Clustered>>,
}

impl Services {
    /// Starting handlers.
    pub(super) fn starter(&mut self) -> Starter<'_> {
        Starter {
            context: &self.context,
            catalog: &self.catalog,
            permissions: &mut self.permissions,
            limits: &mut self.limits,
            questions: &self.questions,
            calls: &mut self.calls,
            sessions: &mut self.sessions,
            streams: &mut self.streams,
            tasks: &mut self.tasks,
            outbox: &mut self.outbox,
        }
    }

    /// Ending calls, sessions and tasks.
    pub(super) fn endings(&mut self) -> Endings<'_> {
        Endings {
            calls: &mut self.calls,
            updates: TaskUpdates {
                context: &self.context,
                tasks: &mut self.tasks,
                notifier: Notifier {
                    sessions: &mut self.sessions,
                    streams: &mut self.streams,
                    outbox: &mut self.outbox,
                },
            },
        }
    }

    /// Handling the events of calls.
    pub(super) fn call_events(&mut self) -> CallEvents<'_> {
        CallEvents {
            questions: &self.questions,
            endings: Endings {
                calls: &mut self.calls,
                updates: TaskUpdates {
                    context: &self.context,
                    tasks: &mut self.tasks,
                    notifier: Notifier {
                        sessions: &mut self.sessions,
                        streams: &mut self.streams,
                        outbox: &mut self.outbox,
                    },
                },
            },
        }
    }

    /// Opening and resuming streams of sessions.
    pub(super) fn session_streams(&mut self) -> SessionStreams<'_> {
        SessionStreams {
            context: &self.context,
            sessions: &mut self.sessions,
            streams: &mut self.streams,
            calls: &mut self.calls,
            outbox: &mut self.outbox,
        }
    }

    /// Opening and ending subscriptions.
    pub(super) fn listening(&mut self) -> Listening<'_> {
        Listening {
            context: &self.context,
            catalog: &self.catalog,
            permissions: &mut self.permissions,
            subscriptions: &mut self.subscriptions,
            outbox: &mut self.outbox,
            port: self.calls.port(),
        }
    }

    /// Broadcasting changes.
    pub(super) fn broadcasting(&mut self) -> Broadcasting<'_> {
        Broadcasting {
            subscriptions: &mut self.subscriptions,
            notifier: Notifier {
                sessions: &mut self.sessions,
                streams: &mut self.streams,
                outbox: &mut self.outbox,
            },
        }
    }

    /// Serving requests about tasks.
    pub(super) fn task_requests(&mut self) -> TaskRequests<'_> {
        TaskRequests {
            endings: self.endings(),
        }
    }

    /// Watching tasks for subscriptions.
    pub(super) fn task_watching(&mut self) -> TaskWatching<'_> {
        TaskWatching {
            context: &self.context,
            tasks: &mut self.tasks,
            outbox: &mut self.outbox,
        }
    }
}
