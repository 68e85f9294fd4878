//! Counts the work of the decoder under test, so that tests can say "linear" without a clock.

use std::cell::Cell;

thread_local! {
    static HEAD_PARSES: Cell<usize> = const { Cell::new(0) };
    static BYTES_SEARCHED: Cell<usize> = const { Cell::new(0) };
}

/// A whole head was parsed.
pub(super) fn head_parsed() {
    HEAD_PARSES.set(HEAD_PARSES.get() + 1);
}

/// So many bytes were searched for a line end.
pub(super) fn searched(bytes: usize) {
    BYTES_SEARCHED.set(BYTES_SEARCHED.get() + bytes);
}

/// (heads parsed, bytes searched) by this thread since the last call.
pub(super) fn take() -> (usize, usize) {
    (HEAD_PARSES.take(), BYTES_SEARCHED.take())
}
