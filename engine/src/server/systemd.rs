//! Notifications to a service manager: the server is ready, it ends, and its shards make progress.
//! Does nothing where no manager listens (sd_notify(3)).

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use sd_notify::NotifyState;

/// A manager is notified so many times within the time that it waits for (sd_watchdog_enabled(3)).
const NOTIFICATIONS: u32 = 2;
/// After a look that found a shard stalled, the next one comes in this part of the interval: the
/// manager must be notified before its time is over if the stall ends before that.
const LOOKS_WHILE_STALLED: u32 = 8;

/// The listeners are open.
pub(super) fn notify_ready() {
    notify(NotifyState::Ready);
}

/// Another process serves in the place of this one, and is the one to watch.
pub(super) fn notify_main_process(pid: u32) {
    notify(NotifyState::MainPid(pid));
}

/// The server drains. From here on the manager waits for the end and for no watchdog.
pub(super) fn notify_stopping() {
    notify(NotifyState::Stopping);
}

/// The interval of notifications that a manager with `WatchdogSec=` expects (systemd.service(5)).
fn watchdog_interval() -> Option<Duration> {
    let patience = sd_notify::watchdog_enabled()?;
    Some(patience / NOTIFICATIONS).filter(|interval| !interval.is_zero())
}

/// The next event, or nothing if there will be none. While it waits, the manager is notified for as
/// long as no shard stalls, and ends the process otherwise.
pub(super) fn receive<T>(received: &Receiver<T>, is_stalled: impl Fn() -> bool) -> Option<T> {
    let Some(interval) = watchdog_interval() else {
        return received.recv().ok();
    };
    let mut wait = interval;
    loop {
        match received.recv_timeout(wait) {
            Ok(event) => return Some(event),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if is_stalled() => wait = interval / LOOKS_WHILE_STALLED,
            Err(RecvTimeoutError::Timeout) => {
                notify(NotifyState::Watchdog);
                wait = interval;
            }
        }
    }
}

/// A manager that cannot be reached changes nothing for clients.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("the service manager cannot be notified: {error}");
    }
}
