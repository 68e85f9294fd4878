//! The subscription to the changes of one upstream: when it begins, and when it begins again.
//!
//! The clock, random numbers and all effects are the caller's.

use std::time::Instant;

use corelane_protocol::mcp::subscription::ListKind;

use super::backoff::Backoff;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Listener {
    /// The params of the subscription; none if the upstream reports no changes.
    params: Option<String>,
    /// Whether a subscription is on its way, or open.
    is_begun: bool,
    due: Option<Instant>,
    backoff: Backoff,
}

impl Listener {
    /// Nothing is subscribed to yet.
    pub(super) fn new() -> Listener {
        Listener {
            params: None,
            is_begun: false,
            due: None,
            backoff: Backoff::START,
        }
    }

    /// The upstream reports changes of these lists.
    pub(super) fn set_lists(&mut self, lists: &[ListKind], now: Instant) {
        let members = lists.iter().map(|list| (list.filter().to_owned(), true));
        let members: serde_json::Map<_, _> = members.map(|(it, yes)| (it, yes.into())).collect();
        let params = (!members.is_empty())
            .then(|| serde_json::json!({ "notifications": members }).to_string());
        self.params = params;
        if self.params.is_some() && !self.is_begun && self.due.is_none() {
            self.due = Some(now);
        }
    }

    /// When [`Listener::begin`] is due; none if it waits for something else.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Begins a subscription with these params, if there is one to begin.
    pub(super) fn begin(&mut self) -> Option<String> {
        self.due = None;
        let params = self.params.clone()?;
        self.is_begun = true;
        Some(params)
    }

    /// The upstream has accepted the subscription.
    pub(super) fn handle_acknowledged(&mut self) {
        self.backoff = Backoff::START;
    }

    /// The upstream has no subscriptions: none begins until it is found to report changes again.
    pub(super) fn handle_refused(&mut self) {
        (self.is_begun, self.params) = (false, None);
    }

    /// The subscription has ended: the next one begins after a time that `random`, from 0 to 1,
    /// spreads.
    pub(super) fn handle_ended(&mut self, now: Instant, random: f64) {
        self.is_begun = false;
        if self.params.is_some() {
            self.due = Some(now + self.backoff.take().mul_f64(random));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use corelane_protocol::mcp::subscription::ListKind;

    use super::super::backoff::{WAIT_MAX, WAIT_MIN};
    use super::Listener;

    #[test]
    fn a_subscription_begins_with_the_lists_and_again_ever_later() {
        let now = Instant::now();
        let mut listener = Listener::new();
        listener.set_lists(&[], now);
        assert_eq!(listener.due(), None, "there is nothing to subscribe to");
        listener.set_lists(&[ListKind::Tools, ListKind::Resources], now);
        assert_eq!(listener.due(), Some(now));
        let params = listener.begin().expect("params");
        let expected = r#"{"notifications":{"toolsListChanged":true,"resourcesListChanged":true}}"#;
        assert_eq!(params, expected);
        listener.set_lists(&[ListKind::Tools], now);
        assert_eq!(listener.due(), None, "one is on its way");
        let mut waits = Vec::new();
        for _ in 0..7 {
            listener.handle_ended(now, 1.0);
            waits.push(listener.due().expect("again") - now);
            listener.begin();
        }
        assert_eq!((waits[0], waits[1]), (WAIT_MIN, WAIT_MIN * 2));
        assert_eq!(waits[6], WAIT_MAX);
        listener.handle_acknowledged();
        listener.handle_ended(now, 0.5);
        assert_eq!(listener.due(), Some(now + WAIT_MIN / 2));
        listener.begin();
        listener.set_lists(&[], now);
        listener.handle_ended(now, 1.0);
        assert_eq!(listener.due(), None, "it reports no changes any more");
    }
}
