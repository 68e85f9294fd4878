//! The subscription to the changes of one upstream: when it begins, when it begins again, and when
//! another one takes its place, because clients have subscribed to other resources.
//!
//! A modern upstream has the lists and the resources in one subscription, so that others take the
//! place of one that is open, without a gap. A legacy upstream has a stream, and a request for each
//! resource. The clock, random numbers and all effects are the caller's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::subscription::ListKind;
use serde_json::json;

use super::backoff::Backoff;

/// The shortest time between two subscriptions with other resources.
const CHANGE_INTERVAL: Duration = Duration::from_millis(100);

/// The resources of a subscription.
type Uris = BTreeSet<Arc<str>>;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Listener {
    era: Era,
    /// The lists of which the upstream reports changes.
    lists: Vec<ListKind>,
    /// Whether it reports updates of resources.
    takes_uris: bool,
    uris: Uris,
    /// The resources of the subscription that was begun last.
    begun_uris: Uris,
    /// The subscription that is open.
    open: Option<u32>,
    /// The one that is on its way.
    begun: Option<u32>,
    /// The one that is closed next.
    replaced: Option<u32>,
    last: u32,
    due: Option<Instant>,
    backoff: Backoff,
}

/// The next step for a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listen {
    /// One with this number begins, with these params.
    Begin(u32, String),
    /// The one with this number ends.
    Close(u32),
    /// A request of this method, with these params.
    Request(&'static str, String),
}

impl Listener {
    /// Nothing is subscribed to yet.
    pub(super) fn new() -> Listener {
        Listener {
            era: Era::Modern,
            lists: Vec::new(),
            takes_uris: false,
            uris: Uris::new(),
            begun_uris: Uris::new(),
            open: None,
            begun: None,
            replaced: None,
            last: 0,
            due: None,
            backoff: Backoff::START,
        }
    }

    /// The upstream reports changes of these lists, and updates of resources if `takes_uris`.
    pub(super) fn set_lists(
        &mut self,
        era: Era,
        (lists, takes_uris): (Vec<ListKind>, bool),
        now: Instant,
    ) {
        (self.era, self.lists, self.takes_uris) = (era, lists, takes_uris);
        self.begin_if_needed(now);
    }

    /// Clients have subscribed to these resources.
    pub(super) fn set_uris(&mut self, uris: Uris, now: Instant) {
        self.uris = uris;
        if self.has_other_uris() && self.due.is_none() && self.begun.is_none() {
            self.due = Some(now + CHANGE_INTERVAL);
        }
        self.begin_if_needed(now);
    }

    /// The resources to which clients have subscribed.
    pub(super) fn uris(&self) -> impl Iterator<Item = &Arc<str>> {
        self.uris.iter()
    }

    /// Whether the upstream reports updates of resources.
    pub(super) fn takes_uris(&self) -> bool {
        self.takes_uris
    }

    /// When [`Listener::next`] is due; none if it waits for something else.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The next step, if there is one.
    pub(super) fn next(&mut self, now: Instant) -> Option<Listen> {
        self.due = None;
        if let Some(replaced) = self.replaced.take() {
            self.due = self.has_other_uris().then_some(now + CHANGE_INTERVAL);
            return Some(Listen::Close(replaced));
        }
        if !self.is_needed() {
            return self.open.take().map(Listen::Close);
        }
        if self.era == Era::Legacy && self.open.is_some() {
            return self.next_request(now);
        }
        self.last += 1;
        self.begun = Some(self.last);
        let mut members = serde_json::Map::new();
        for list in &self.lists {
            members.insert(list.filter().to_owned(), true.into());
        }
        // Those of a legacy upstream are requested one by one.
        self.begun_uris.clear();
        if self.era == Era::Modern && self.takes_uris && !self.uris.is_empty() {
            self.begun_uris = self.uris.clone();
            let uris: Vec<&str> = self.uris.iter().map(|uri| &**uri).collect();
            members.insert("resourceSubscriptions".to_owned(), json!(uris));
        }
        let params = json!({ "notifications": members }).to_string();
        Some(Listen::Begin(self.last, params))
    }

    /// The upstream has accepted a subscription. Returns whether changes may have been missed
    /// before.
    pub(super) fn handle_acknowledged(&mut self, number: u32, now: Instant) -> bool {
        if self.begun != Some(number) {
            return false;
        }
        self.begun = None;
        self.replaced = self.open.replace(number);
        self.backoff = Backoff::START;
        if self.replaced.is_some() || self.has_other_uris() {
            self.due = Some(now);
        }
        self.replaced.is_none()
    }

    /// The upstream has no subscriptions: none begins until it is found to report changes again.
    pub(super) fn handle_refused(&mut self, number: u32) {
        if self.begun == Some(number) {
            (self.begun, self.takes_uris) = (None, false);
            self.lists.clear();
        }
    }

    /// A subscription has ended: the next one begins after a time that `random`, from 0 to 1,
    /// spreads.
    pub(super) fn handle_ended(&mut self, number: u32, now: Instant, random: f64) {
        if self.begun == Some(number) {
            self.begun = None;
        } else if self.open == Some(number) {
            self.open = None;
        } else {
            return;
        }
        if self.is_needed() && self.begun.is_none() {
            self.due = Some(now + self.backoff.take().mul_f64(random));
        }
    }

    fn is_needed(&self) -> bool {
        !self.lists.is_empty() || self.takes_uris && !self.uris.is_empty()
    }

    fn has_other_uris(&self) -> bool {
        self.takes_uris && self.uris != self.begun_uris
    }

    fn begin_if_needed(&mut self, now: Instant) {
        let is_begun = self.begun.is_some() || self.open.is_some();
        if self.is_needed() && !is_begun && self.due.is_none() {
            self.due = Some(now);
        }
    }

    /// The next request of a legacy upstream about one resource.
    fn next_request(&mut self, now: Instant) -> Option<Listen> {
        let added = self.uris.difference(&self.begun_uris).next().cloned();
        let removed = self.begun_uris.difference(&self.uris).next().cloned();
        let (method, uri) = match (added, removed) {
            (Some(uri), _) => {
                self.begun_uris.insert(Arc::clone(&uri));
                ("resources/subscribe", uri)
            }
            (None, Some(uri)) => {
                self.begun_uris.remove(&uri);
                ("resources/unsubscribe", uri)
            }
            (None, None) => return None,
        };
        self.due = self.has_other_uris().then_some(now);
        Some(Listen::Request(method, json!({ "uri": &*uri }).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use corelane_protocol::mcp::era::Era;
    use corelane_protocol::mcp::subscription::ListKind;

    use super::super::backoff::{WAIT_MAX, WAIT_MIN};
    use super::{CHANGE_INTERVAL, Listen, Listener, Uris};

    fn uris(names: &[&str]) -> Uris {
        names.iter().map(|name| (*name).into()).collect()
    }

    /// A listener of lists and resources whose first subscription, with one resource, is open.
    fn open(era: Era, now: Instant) -> Listener {
        let mut listener = Listener::new();
        listener.set_lists(era, (vec![ListKind::Tools], true), now);
        assert!(matches!(listener.next(now), Some(Listen::Begin(1, _))));
        assert!(listener.handle_acknowledged(1, now));
        assert_eq!(listener.due(), None);
        listener
    }

    fn begin(number: u32, params: &str) -> Option<Listen> {
        Some(Listen::Begin(number, params.to_owned()))
    }

    #[test]
    fn a_subscription_begins_with_the_lists_and_again_ever_later() {
        let now = Instant::now();
        let mut listener = Listener::new();
        listener.set_lists(Era::Modern, (Vec::new(), true), now);
        assert_eq!(listener.due(), None, "there is nothing to subscribe to");
        let lists = vec![ListKind::Tools, ListKind::Resources];
        listener.set_lists(Era::Modern, (lists, false), now);
        assert_eq!(listener.due(), Some(now));
        let expected = r#"{"notifications":{"toolsListChanged":true,"resourcesListChanged":true}}"#;
        assert_eq!(listener.next(now), begin(1, expected));
        listener.set_lists(Era::Modern, (vec![ListKind::Tools], false), now);
        assert_eq!(listener.due(), None, "one is on its way");
        let mut waits = Vec::new();
        for number in 1..8 {
            listener.handle_ended(number, now, 1.0);
            waits.push(listener.due().expect("again") - now);
            listener.next(now);
        }
        assert_eq!((waits[0], waits[1]), (WAIT_MIN, WAIT_MIN * 2));
        assert_eq!(waits[6], WAIT_MAX);
        assert!(listener.handle_acknowledged(8, now), "it missed changes");
        listener.handle_ended(8, now, 0.5);
        assert_eq!(listener.due(), Some(now + WAIT_MIN / 2));
        listener.next(now);
        listener.handle_refused(9);
        listener.handle_ended(9, now, 1.0);
        assert_eq!(listener.due(), None, "it reports no changes any more");
    }

    #[test]
    fn another_subscription_takes_the_place_of_one_that_is_open_until_then() {
        let now = Instant::now();
        let mut listener = open(Era::Modern, now);
        listener.set_uris(uris(&["a:2", "a:1"]), now);
        listener.set_uris(uris(&["a:1"]), now);
        assert_eq!(listener.due(), Some(now + CHANGE_INTERVAL));
        let params =
            r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}}"#;
        assert_eq!(listener.next(now), begin(2, params));
        listener.set_uris(uris(&[]), now);
        assert_eq!(listener.due(), None, "one is on its way");
        assert!(!listener.handle_acknowledged(2, now), "nothing was missed");
        assert_eq!(listener.next(now), Some(Listen::Close(1)));
        listener.handle_ended(1, now, 1.0);
        assert_eq!(listener.due(), Some(now + CHANGE_INTERVAL));
        let params = r#"{"notifications":{"toolsListChanged":true}}"#;
        assert_eq!(listener.next(now), begin(3, params));
    }

    #[test]
    fn without_lists_a_subscription_ends_with_the_last_resource() {
        let now = Instant::now();
        let mut listener = Listener::new();
        listener.set_lists(Era::Modern, (Vec::new(), true), now);
        listener.set_uris(uris(&["a:1"]), now);
        let params = r#"{"notifications":{"resourceSubscriptions":["a:1"]}}"#;
        assert_eq!(listener.next(now), begin(1, params));
        listener.handle_acknowledged(1, now);
        listener.set_uris(uris(&[]), now);
        assert_eq!(listener.next(now), Some(Listen::Close(1)));
        listener.handle_ended(1, now, 1.0);
        assert_eq!((listener.due(), listener.next(now)), (None, None));
    }

    #[test]
    fn resources_of_a_legacy_upstream_are_requested_one_by_one_in_each_stream() {
        let now = Instant::now();
        let mut listener = open(Era::Legacy, now);
        listener.set_uris(uris(&["a:1", "a:2"]), now);
        let request = |method, uri: &str| Listen::Request(method, format!("{{\"uri\":\"{uri}\"}}"));
        let subscribe = |uri| Some(request("resources/subscribe", uri));
        assert_eq!(listener.next(now), subscribe("a:1"));
        assert_eq!(listener.due(), Some(now));
        assert_eq!(listener.next(now), subscribe("a:2"));
        assert_eq!(listener.due(), None);
        listener.set_uris(uris(&["a:2"]), now);
        let unsubscribe = Some(request("resources/unsubscribe", "a:1"));
        assert_eq!(listener.next(now), unsubscribe);
        assert_eq!((listener.due(), listener.next(now)), (None, None));
        listener.handle_ended(1, now, 0.0);
        assert!(matches!(listener.next(now), Some(Listen::Begin(2, _))));
        assert!(listener.handle_acknowledged(2, now));
        assert_eq!(
            listener.next(now),
            subscribe("a:2"),
            "the stream is another one"
        );
    }
}
