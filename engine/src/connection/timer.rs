//! Which deadline a connection has: exactly one at any time, told by what it is doing.

use super::http::{Connection, Phase, RecvMode};
use crate::profile::{Connection as ConnectionProfile, Streams};

/// What happens to a connection if nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// It is closed because it was idle.
    Idle,
    /// Nothing but that less is held ready for it.
    Quiet,
    /// It is closed because its head took too long.
    Head,
    /// It is closed because its body took too long.
    Body,
    /// Nothing: the call that it waits for has a deadline of its own.
    None,
    /// It is closed because its peer takes its output too slowly.
    Write,
    /// Its peer is sent a sign of life.
    KeepAlive,
    /// It is closed although its peer is still sending.
    Linger,
}

impl Timer {
    /// The deadline of `connection` in its present state.
    pub(crate) fn of(connection: &Connection) -> Timer {
        if connection.is_sending() {
            return Timer::Write;
        }
        match connection.phase {
            Phase::Idle => match connection.reading {
                RecvMode::PollThenMultishot | RecvMode::Multishot => Timer::Quiet,
                RecvMode::Poll | RecvMode::Cancelling => Timer::Idle,
            },
            Phase::ReadingHead => Timer::Head,
            Phase::ReadingBody => Timer::Body,
            Phase::Waiting => Timer::None,
            Phase::Streaming => Timer::KeepAlive,
            Phase::Flushing { .. } | Phase::Lingering => Timer::Linger,
        }
    }

    /// The deadline of `connection` in its present state, and of which request. That of writing is
    /// of no request: a peer gets no more time for what it has not read by sending another.
    pub(crate) fn armed_for(connection: &Connection) -> (Timer, u32) {
        match Timer::of(connection) {
            Timer::Write => (Timer::Write, 0),
            timer => (timer, connection.sequence),
        }
    }

    /// How long it runs, in milliseconds; `None` for ever.
    pub(crate) fn duration_ms(self, profile: &ConnectionProfile, streams: &Streams) -> Option<u64> {
        match self {
            Timer::Idle => Some(profile.idle_timeout_ms),
            Timer::Quiet => Some(profile.quiet_after_ms.min(profile.idle_timeout_ms)),
            Timer::Head => Some(profile.head_timeout_ms),
            Timer::Body => Some(profile.body_timeout_ms),
            Timer::None => None,
            Timer::Write => Some(profile.write_timeout_ms),
            Timer::KeepAlive => Some(streams.keep_alive_ms),
            Timer::Linger => Some(profile.linger_timeout_ms),
        }
    }
}
