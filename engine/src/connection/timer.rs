//! The deadline of a connection: exactly one at any time, decided by its state.

use crate::profile::ShardProfile;

/// The action when a deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// It is closed because it was idle.
    Idle,
    /// It is closed because it has sent no line, for a connection of lines.
    FirstLine,
    /// It is closed because it was idle, for a connection of lines.
    NextLine,
    /// Nothing but that less is held ready for it.
    Quiet,
    /// It is closed because its handshake took too long.
    Handshake,
    /// It is closed because its head took too long.
    Head,
    /// It is closed because its body took too long.
    Body,
    /// Nothing.
    None,
    /// Its answer begins before it is known. The call that it waits for has a deadline of its own.
    Slow,
    /// It is closed because its peer takes its output too slowly.
    Write,
    /// Its peer is sent a sign of life.
    KeepAlive,
    /// Its peer is sent a ping.
    Ping,
    /// It is closed because its peer has sent nothing since a ping.
    Pong,
    /// It is closed although its peer is still sending.
    Linger,
}

impl Timer {
    /// How long it runs, in milliseconds; `None` for ever.
    pub(crate) fn duration_ms(self, profile: &ShardProfile) -> Option<u64> {
        let connection = &profile.connection;
        match self {
            Timer::Handshake => Some(profile.tls.handshake_timeout_ms),
            Timer::Idle => Some(connection.idle_timeout_ms),
            Timer::FirstLine => Some(profile.lines.first_message_timeout_ms),
            Timer::NextLine => Some(profile.lines.idle_timeout_ms),
            Timer::Quiet => Some(connection.quiet_after_ms.min(connection.idle_timeout_ms)),
            Timer::Head => Some(connection.head_timeout_ms),
            Timer::Body => Some(connection.body_timeout_ms),
            Timer::None => None,
            Timer::Slow => Some(profile.calls.slow_after_ms),
            Timer::Write => Some(connection.write_timeout_ms),
            Timer::KeepAlive => Some(profile.streams.keep_alive_ms),
            Timer::Ping => Some(profile.websocket.ping_interval_ms),
            Timer::Pong => Some(profile.websocket.pong_timeout_ms),
            Timer::Linger => Some(connection.linger_timeout_ms),
        }
    }
}
