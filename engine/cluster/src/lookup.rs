//! Requests for sessions that are not here, while the store is read.

use crate::frame::Request;
use crate::id::{Birth, Process};
use crate::vocabulary::{Call, Op, ReadFrom};

/// A request of a local client on its way to an owner.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) call: Call,
    pub(crate) request: Box<Request>,
    /// Processes that surely did not execute it.
    pub(crate) not_here: Vec<Process>,
    pub(crate) hops: u8,
}

impl Pending {
    pub(crate) fn new(call: Call, request: Box<Request>) -> Pending {
        Pending {
            call,
            request,
            not_here: Vec::new(),
            hops: 0,
        }
    }
}

/// A session whose record is read.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) op: Op,
    pub(crate) from: ReadFrom,
    pub(crate) birth: Birth,
    pub(crate) waiting: Vec<Pending>,
}
