//! Jobs of another thread for a shard, which does them between two requests: the steps of a
//! hand-over.
//!
//! The steps are a trait, so that threads know them without knowing a shard.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::SyncSender;

use crate::handover::rows::{ConnectionRow, EndedRow, SessionRow};
use crate::mcp::{Exchange, SessionId};
use corelane_io::slots::SlotKey;

/// Where the answer of a job goes. Its receiver may have given up.
pub(crate) type Answer<T> = SyncSender<T>;

/// A job.
pub(crate) type Job = Box<dyn FnOnce(&mut dyn HandsOver) + Send>;

/// Connections for another process, each with a plain descriptor.
pub(crate) type Offered = Vec<(ConnectionRow, OwnedFd)>;

/// A connection for this process, with the number of its address here.
pub(crate) type Moving = (u8, ConnectionRow, OwnedFd);

/// Jobs that wait, in their order.
#[derive(Default)]
pub(super) struct Jobs(pub(super) Vec<Job>);

/// A connection that was taken over.
#[derive(Debug)]
pub(crate) enum Taken {
    /// There was no room for it, or its row was wrong.
    Refused,
    /// It is there.
    Whole,
    /// It is there when its session has the stream.
    Stream(TakenStream),
}

/// The stream of a session on a connection that was taken over.
#[derive(Debug)]
pub(crate) struct TakenStream {
    pub(crate) session: SessionId,
    /// Where it was open.
    pub(crate) at: String,
    pub(crate) exchange: Exchange,
}

/// The result of a look at the connections of the old process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frozen {
    /// None has left: changes are being broadcast.
    Later,
    /// Another look may find more: some may soon be between two requests.
    Some,
    /// The others stay for longer.
    All,
}

/// The steps of a hand-over in a shard; see [`handover`](super::handover).
pub(crate) trait HandsOver {
    /// Of the old process: further descriptors of its listeners, with the numbers of their
    /// addresses.
    ///
    /// # Errors
    /// The process has too many.
    fn share_listeners(&self) -> io::Result<Vec<(u8, OwnedFd)>>;

    /// Of the old process: accepts no more, and receives no connection ahead. `answer` gets
    /// something when no accept is under way.
    fn calm_down(&mut self, answer: Answer<()>);

    /// Of the old process: takes every connection out of the table that can leave now, of addresses
    /// that the new process takes. From the first time on no request changes a session.
    fn freeze(&mut self, takes: &[bool]) -> Frozen;

    /// Of the old process: the sessions at `rows_max` places from `from` on, and the place of the
    /// next ones.
    fn leaving_sessions(&self, from: usize, rows_max: usize) -> (Vec<SessionRow>, Option<usize>);

    /// Of the old process: the sessions that ended for good.
    fn ended_sessions(&self) -> Vec<EndedRow>;

    /// Of the old process: offers up to `count` of the connections that wait. `answer` gets them
    /// when the ring has made their descriptors, and nothing if none waits.
    fn offer(&mut self, count: usize, answer: Answer<Option<Offered>>);

    /// Of the old process: the new one does not serve these of the last `of` connections that it
    /// was offered.
    fn take_back(&mut self, refused: &[usize], of: usize);

    /// Of the old process: the new one is gone, and everything goes on here as before.
    fn go_on(&mut self);

    /// Of the old process: the new one serves the connections that it took, and accepts. The others
    /// are to drain here: it returns how many those are.
    fn let_go(&mut self) -> usize;

    /// Of the new process: a session of the old one ended for good.
    fn take_ended(&mut self, row: &EndedRow);

    /// Of the new process: takes a session over. Returns whether it did.
    fn take_session(&mut self, row: &SessionRow) -> bool;

    /// Of the new process: takes connections over. Nothing of them is read yet.
    fn take_over(&mut self, rows: Vec<Moving>) -> Vec<Taken>;

    /// Of the new process: a stream of a session of this shard is open. Returns whether there is
    /// such a session.
    fn attach(&mut self, stream: &TakenStream) -> bool;

    /// Of the new process: gives a connection up that was taken over. The old one serves it.
    fn give_back(&mut self, slot: SlotKey);

    /// Of the new process: reads from the connections that were taken over, and accepts.
    fn open(&mut self);
}

impl fmt::Debug for Jobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Jobs").field(&self.0.len()).finish()
    }
}
