//! What a service manager learns of a server: that it is ready, and that it ends. Does nothing
//! where no manager listens (sd_notify(3)).

use sd_notify::NotifyState;

/// The listeners are open.
pub(super) fn notify_ready() {
    notify(NotifyState::Ready);
}

/// The server drains.
pub(super) fn notify_stopping() {
    notify(NotifyState::Stopping);
}

/// A manager that cannot be reached changes nothing for clients.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("the service manager cannot be notified: {error}");
    }
}
