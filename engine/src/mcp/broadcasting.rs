//! Broadcasts changes to the listen streams of modern clients and the GET streams of sessions, a
//! share in each turn, so that a hundred thousand streams do not delay a call.
//!
//! A stream that opens meanwhile may get a change that is older than itself; its client then only
//! lists once more than necessary.

use super::notifier::Notifier;
use super::subscriptions::{Broadcast, Subscriptions};

/// Listen streams and sessions looked at for broadcasts in one turn, or messages to them if those
/// are more: some 0.2 ms of sending.
const MESSAGES_PER_TURN: usize = 32;
/// Statuses of tasks among them that are sent first, so that no broadcast delays them.
const STATUSES_FIRST_PER_TURN: usize = 8;
/// The part of both that is sent while requests wait: calls go before broadcasts.
const PART_BESIDE_REQUESTS: usize = 4;

/// The messages that one turn sends.
pub(super) struct TurnShare {
    pub(super) messages: usize,
    /// Statuses of tasks among them that go before broadcasts.
    pub(super) statuses_first: usize,
}

impl TurnShare {
    pub(super) fn new(requests_wait: bool) -> TurnShare {
        let part = if requests_wait {
            PART_BESIDE_REQUESTS
        } else {
            1
        };
        TurnShare {
            messages: MESSAGES_PER_TURN / part,
            statuses_first: STATUSES_FIRST_PER_TURN / part,
        }
    }
}

/// Sends broadcasts.
pub(super) struct Broadcasting<'a> {
    pub(super) subscriptions: &'a mut Subscriptions,
    pub(super) notifier: Notifier<'a>,
}

impl Broadcasting<'_> {
    /// Continues the broadcasts until the budget of messages is spent.
    pub(super) fn run(&mut self, budget: &mut usize) {
        while let Some(mut broadcast) = self.subscriptions.broadcasts.pop() {
            if !self.send_share(&mut broadcast, budget) {
                self.subscriptions.broadcasts.put_back(broadcast);
                return;
            }
        }
    }

    /// Sends a broadcast until the budget is spent; returns whether it is finished.
    fn send_share(&mut self, broadcast: &mut Broadcast, budget: &mut usize) -> bool {
        let open = &self.subscriptions.open;
        while broadcast.next_subscription < self.subscriptions.places {
            if *budget == 0 {
                return false;
            }
            let place = broadcast.next_subscription;
            let subscription = open.get(place);
            broadcast.next_subscription += 1;
            let Some(subscription) = subscription.filter(|it| it.is_acknowledged()) else {
                *budget -= 1;
                continue;
            };
            let (lists, uris) = (subscription.lists, &subscription.uris);
            let messages = broadcast.messages(lists, uris, Some(&subscription.id));
            *budget = budget.saturating_sub(messages.len().max(1));
            let is_outdated = subscription.configuration != self.subscriptions.configuration;
            if is_outdated && !messages.is_empty() {
                self.subscriptions.outdated.push(place as u32);
                continue;
            }
            for message in messages {
                let outbox = &mut self.notifier.outbox;
                outbox.push_change(subscription.exchange, message);
            }
        }
        while broadcast.next_session < self.notifier.sessions.places() {
            if *budget == 0 {
                return false;
            }
            let session = self.notifier.sessions.at_place(broadcast.next_session);
            broadcast.next_session += 1;
            let Some(session) = session else {
                *budget -= 1;
                continue;
            };
            let id = session.id;
            // Until its client is checked again.
            let uris = match session.configuration == self.subscriptions.configuration {
                true => &session.subscriptions[..],
                false => &[],
            };
            let messages = broadcast.messages(session.lists, uris, None);
            *budget = budget.saturating_sub(messages.len().max(1));
            for message in messages {
                self.notifier.notify_change(id, message);
            }
        }
        true
    }
}
