//! How long tests wait: for an event with a deadline, never for a time to pass.

use std::thread;
use std::time::{Duration, Instant};

/// The time limit for events that should happen at once. Generous, because tests share a machine;
/// only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The interval between two checks of a condition that has no event.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Checks until `holds` returns a value, and returns it.
///
/// # Panics
/// If that takes longer than [`PATIENCE`]; `what` completes the sentence "... did not happen".
pub fn wait_until<T>(what: &str, holds: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, holds)
}

/// The same for an event that takes its time.
///
/// # Panics
/// If that takes longer than `patience`.
pub fn wait_within<T>(patience: Duration, what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: did not happen within {patience:?}"
        );
        thread::sleep(LOOK_INTERVAL);
    }
}
