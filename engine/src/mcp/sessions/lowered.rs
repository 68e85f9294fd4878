//! Other limits on sessions while the shard runs.
//!
//! Past a limit that was lowered, idle sessions are evicted a few at a time, the least recently
//! used first. Each session is looked at once: busy ones stay, as many as there are, and later
//! sessions find the limit.

use super::{NONE, Session, SessionLimits, Sessions};

impl Sessions {
    /// Changes the limits. Past a lower one, idle sessions are evicted by [`Sessions::shrink`].
    pub(crate) fn set_limits(&mut self, limits: SessionLimits) {
        let reserved = self.sessions.capacity();
        if limits.sessions_max > reserved {
            // As in the beginning: nothing moves later.
            self.sessions
                .reserve_exact(limits.sessions_max - self.sessions.len());
            self.links
                .reserve_exact(limits.sessions_max - self.links.len());
        }
        self.limits = limits;
        self.restorer.set_limits(&limits);
        self.shares.set_max(limits.sessions_max);
        self.stream_shares.set_max(limits.streams_max);
        self.shrink_looks = match self.sessions.len() > limits.sessions_max {
            true => self.sessions.len(),
            false => 0,
        };
    }

    /// Whether [`Sessions::shrink`] has work.
    pub(crate) fn is_shrinking(&self) -> bool {
        self.shrink_looks > 0
    }

    /// Looks at one session after a limit was lowered: removes it if it is idle and there are too
    /// many. Busy sessions stay, as many as there are.
    pub(crate) fn shrink(&mut self, now_ms: u64) -> Option<Session> {
        self.shrink_looks = self.shrink_looks.saturating_sub(1);
        if self.oldest == NONE || self.sessions.len() <= self.limits.sessions_max {
            self.shrink_looks = 0;
            return None;
        }
        let session = &self.sessions[self.oldest as usize];
        let id = session.id;
        if !session.is_busy() {
            return self.remove(id);
        }
        self.touch(id, now_ms);
        None
    }
}
