//! The line on a terminal that says how far a run is. Without a terminal there is none.

use crate::load::plan::RunState;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often the line changes.
const INTERVAL_NS: u64 = 250_000_000;

/// See the module's text; the line goes away with it.
pub(super) struct Progress {
    bar: ProgressBar,
    shown_ns: u64,
    answered: u64,
}

impl Progress {
    /// A line that begins with `activity`.
    pub(super) fn new(activity: &str) -> Progress {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {prefix}: {msg}");
        bar.set_style(style.expect("the template above is one"));
        bar.set_prefix(activity.to_owned());
        bar.enable_steady_tick(Duration::from_nanos(INTERVAL_NS));
        Progress {
            bar,
            shown_ns: 0,
            answered: 0,
        }
    }

    /// Shows the rate, if it is time to.
    pub(super) fn show(&mut self, state: &RunState, now_ns: u64) {
        let since = now_ns.saturating_sub(self.shown_ns);
        if since < INTERVAL_NS || self.bar.is_hidden() {
            return;
        }
        let answered = state.sum(|live| &live.answered);
        let per_s = (answered - self.answered) as f64 * 1e9 / since as f64;
        self.bar.set_message(format!(
            "{per_s:.0} answers/s, {} errors, {} connections",
            state.sum(|live| &live.errors),
            state.sum(|live| &live.held),
        ));
        self.shown_ns = now_ns;
        self.answered = answered;
    }

    /// Shows how many connections stand.
    pub(super) fn show_connections(&self, state: &RunState) {
        let held = state.sum(|live| &live.held);
        self.bar.set_message(format!("{held} connections"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
