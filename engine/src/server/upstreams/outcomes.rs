//! The state of the lists of all upstreams, as clients and probes of readiness learn it.
//!
//! The clock is the caller's.

use std::sync::Arc;
use std::time::SystemTime;

use corelane_gateway::config::Upstream;
use serde_json::{Value, json};

use crate::upstream::board::ListNotice;

/// Most upstreams that a list names.
const NAMED_MAX: usize = 32;

/// The state of the lists of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// See the module's text. By number of the upstream.
#[derive(Debug)]
pub(super) struct Outcomes(Vec<Outcome>);

#[derive(Debug)]
struct Outcome {
    name: Box<str>,
    is_required: bool,
    state: ListState,
    since: SystemTime,
}

impl ListState {
    fn word(self) -> &'static str {
        match self {
            ListState::Loading => "loading",
            ListState::Fresh => "fresh",
            ListState::Stale => "stale",
            ListState::Failed => "failed",
        }
    }
}

impl Outcomes {
    /// Nothing was read yet.
    pub(super) fn new<'a>(
        upstreams: impl Iterator<Item = &'a Upstream>,
        now: SystemTime,
    ) -> Outcomes {
        let outcomes = upstreams.map(|upstream| Outcome {
            name: upstream.name.clone(),
            is_required: upstream.is_required,
            state: ListState::Loading,
            since: now,
        });
        Outcomes(outcomes.collect())
    }

    /// An upstream is in this state. Returns whether it was in another one.
    pub(super) fn set(&mut self, upstream: usize, state: ListState, now: SystemTime) -> bool {
        let outcome = &mut self.0[upstream];
        let is_other = outcome.state != state;
        if is_other {
            (outcome.state, outcome.since) = (state, now);
        }
        is_other
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
                "name": it.name,
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

    use corelane_gateway::config;

    use super::{ListState, Outcomes};

    #[test]
    fn lists_that_are_not_fresh_are_named_and_required_ones_that_lack_fail_all() {
        let text = "[[upstream]]\nname = \"a\"\nurl = \"http://127.0.0.1/\"\nrequired = true\n\
                    [[upstream]]\nname = \"b\"\nurl = \"http://127.0.0.1/\"\n";
        let upstreams = config::parse(text).expect("valid");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut outcomes = Outcomes::new(upstreams.iter(), now);
        assert!(outcomes.notice().lacks_required);
        assert_eq!(outcomes.required_down(), 1);
        assert!(outcomes.set(0, ListState::Fresh, now));
        assert!(!outcomes.set(0, ListState::Fresh, now + Duration::from_secs(9)));
        let notice = outcomes.notice();
        assert!(!notice.lacks_required);
        let expected = r#"[{"name":"b","state":"loading","since":"2027-01-15T08:00:00Z"}]"#;
        assert_eq!(notice.outcomes.as_deref(), Some(expected));
        assert!(outcomes.set(1, ListState::Fresh, now));
        assert_eq!(outcomes.notice().outcomes, None);
        assert_eq!(outcomes.required_down(), 0);
        outcomes.set(0, ListState::Stale, now);
        let notice = outcomes.notice();
        assert!(!notice.lacks_required, "there are those of before");
        assert_eq!(outcomes.required_down(), 1);
        outcomes.set(0, ListState::Failed, now);
        assert!(outcomes.notice().lacks_required);
    }
}
