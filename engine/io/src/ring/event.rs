//! The entries of the two queues of a ring, io_uring(7).

/// One entry of the completion queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) user_data: u64,
    pub(super) result: i32,
    pub(super) flags: u32,
}

/// The state of the submission queue.
pub(super) struct Submissions {
    pub(super) queued: usize,
    pub(super) free: usize,
    /// The kernel keeps completions aside, because their queue is full.
    pub(super) has_overflown: bool,
}
