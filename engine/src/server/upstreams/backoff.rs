//! Ever longer waits between tries that fail.

use std::time::Duration;

/// The first and the longest wait (MCP 2026-07-28 basic/patterns/subscriptions).
pub(super) const WAIT_MIN: Duration = Duration::from_secs(1);
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    /// The next wait is the first one.
    pub(super) const START: Backoff = Backoff(WAIT_MIN);

    /// The next wait; the one after it is twice as long.
    pub(super) fn take(&mut self) -> Duration {
        let longer = (self.0 * 2).min(WAIT_MAX);
        std::mem::replace(&mut self.0, longer)
    }
}
