//! Exchanges with other processes: as the sender of a request, and as the owner that serves it.

use crate::id::Process;
use crate::lookup::Pending;

/// Parts that an owner sends without credit.
pub(crate) const PARTS_MAX: u32 = 64;

/// A request that was sent to another process.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) to: Process,
    pub(crate) pending: Pending,
    pub(crate) is_accepted: bool,
    pub(crate) next_part: u32,
    pub(crate) deadline_us: u64,
    /// A repeatable request was sent a second time.
    pub(crate) is_second: bool,
}

/// A request of another process that is served here.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) parts: u32,
    pub(crate) credit: u32,
    pub(crate) deadline_us: u64,
}
