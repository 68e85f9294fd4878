//! The state of the lists of all upstreams, as clients and probes of readiness learn it.
//!
//! The clock is the caller's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::upstream::endpoint::ListNotice;

/// Most upstreams that a list names.
const NAMED_MAX: usize = 32;

/// The state of the lists of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ListState {
    /// They are read for the first time.
    Loading,
    /// They are as they were read.
    Fresh,
    /// They cannot be read at present, and are those of before.
    Stale,
    /// They cannot be read, and there are none.
    Failed,
}

/// The lists of one upstream.
#[derive(Debug)]
pub(super) struct UpstreamLists {
    pub(super) name: Arc<str>,
    /// Whether the server is not ready without them.
    pub(super) is_required: bool,
    pub(super) state: ListState,
}

/// See the module's text. In the order of the configuration.
#[derive(Debug)]
pub(super) struct Outcomes(Vec<Outcome>);

#[derive(Debug)]
struct Outcome {
    name: Arc<str>,
    is_required: bool,
    state: ListState,
    since: SystemTime,
}

impl ListState {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            ListState::Loading => "loading",
            ListState::Fresh => "fresh",
            ListState::Stale => "stale",
            ListState::Failed => "failed",
        }
    }
}

impl Outcomes {
    /// Those of upstreams with these lists.
    pub(super) fn of(states: Vec<UpstreamLists>, now: SystemTime) -> Outcomes {
        let mut outcomes = Outcomes(Vec::new());
        outcomes.follow(states, now);
        outcomes
    }

    /// The upstreams have these lists now. Returns whether something is another one.
    pub(super) fn follow(&mut self, states: Vec<UpstreamLists>, now: SystemTime) -> bool {
        let before = self.0.iter().map(|it| (&it.name, it.is_required, it.state));
        let after = states.iter().map(|it| (&it.name, it.is_required, it.state));
        if before.eq(after) {
            return false;
        }
        let before = std::mem::take(&mut self.0);
        let since: HashMap<_, _> = before
            .iter()
            .map(|it| ((&*it.name, it.state), it.since))
            .collect();
        let outcomes = states.into_iter().map(|it| Outcome {
            since: *since.get(&(&*it.name, it.state)).unwrap_or(&now),
            name: it.name,
            is_required: it.is_required,
            state: it.state,
        });
        self.0 = outcomes.collect();
        true
    }

    /// Required upstreams whose lists cannot be read at present.
    pub(super) fn required_down(&self) -> usize {
        let required = self.0.iter().filter(|it| it.is_required);
        required.filter(|it| it.state != ListState::Fresh).count()
    }

    /// What clients learn.
    pub(super) fn notice(&self) -> ListNotice {
        let others = self.0.iter().filter(|it| it.state != ListState::Fresh);
        let listed = others.take(NAMED_MAX).map(|it| {
            json!({
                "name": &*it.name,
                "state": it.state.word(),
                "since": humantime::format_rfc3339_seconds(it.since).to_string(),
            })
        });
        let listed: Vec<Value> = listed.collect();
        let is_lacking = |it: &Outcome| {
            it.is_required && matches!(it.state, ListState::Loading | ListState::Failed)
        };
        let outcomes = (!listed.is_empty()).then(|| Arc::from(Value::from(listed).to_string()));
        ListNotice {
            outcomes,
            lacks_required: self.0.iter().any(is_lacking),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::{Value, json};

    use super::{ListState, Outcomes, UpstreamLists};

    fn lists(states: &[(&str, ListState)]) -> Vec<UpstreamLists> {
        let of = |(name, state): &(&str, ListState)| UpstreamLists {
            name: (*name).into(),
            is_required: *name == "a",
            state: *state,
        };
        states.iter().map(of).collect()
    }

    #[test]
    fn lists_that_are_not_fresh_are_named_and_required_ones_that_lack_fail_all() {
        use ListState::{Failed, Fresh, Loading, Stale};
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let later = now + Duration::from_secs(9);
        let mut outcomes = Outcomes::of(lists(&[("a", Loading), ("b", Loading)]), now);
        assert!(outcomes.notice().lacks_required);
        assert_eq!(outcomes.required_down(), 1);
        let a_fresh = [("a", Fresh), ("b", Loading)];
        assert!(outcomes.follow(lists(&a_fresh), later));
        assert!(!outcomes.follow(lists(&a_fresh), later));
        let notice = outcomes.notice();
        assert!(!notice.lacks_required);
        let listed = notice.outcomes.expect("b is not fresh");
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        let since = "2027-01-15T08:00:00Z";
        let expected = json!([{ "name": "b", "since": since, "state": "loading" }]);
        assert_eq!(listed, expected);
        assert!(outcomes.follow(lists(&[("a", Fresh), ("b", Fresh)]), now));
        assert_eq!(outcomes.notice().outcomes, None);
        assert_eq!(outcomes.required_down(), 0);
        outcomes.follow(lists(&[("a", Stale), ("b", Fresh)]), now);
        let notice = outcomes.notice();
        assert!(!notice.lacks_required, "there are those of before");
        assert_eq!(outcomes.required_down(), 1);
        outcomes.follow(lists(&[("a", Failed), ("b", Fresh)]), now);
        assert!(outcomes.notice().lacks_required);
        // A reload removes it, and adds another one.
        assert!(outcomes.follow(lists(&[("c", Loading), ("b", Fresh)]), now));
        assert_eq!(outcomes.required_down(), 0);
        assert!(!outcomes.notice().lacks_required);
    }
}
