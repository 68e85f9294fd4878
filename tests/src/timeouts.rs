//! How long tests wait: for an event with a deadline, never for a time to pass.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once. Generous, because tests share a
/// machine; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks at something that cannot be waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Looks until `holds` says so, and gives what it found.
///
/// # Panics
/// If that takes longer than [`PATIENCE`]; `what` completes the sentence "... did not happen".
pub fn wait_until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: did not happen within {PATIENCE:?}"
        );
        thread::sleep(LOOK_INTERVAL);
    }
}
