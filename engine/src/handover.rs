//! The hand-over of a running server to another process of it: what both processes say, in which
//! order, and what follows from the loss of either.
//!
//! ```text
//! old                                   new
//!  |  <---------- Hello ---------------  |   the versions that it can speak
//!  |  ----------- Begin, Sockets ----->  |   the listening sockets, shared from here on
//!  |  <---------- Ready ---------------  |   its shards run and accept nothing yet
//!  |  accepts and serves until here      |
//!  |  ----------- Sessions, Connections  |   in batches, each of which is Taken
//!  |  ----------- Commit ------------->  |
//!  |  <---------- Committed -----------  |   before it reads or accepts anything
//! ```
//!
//! Invariant: before `Committed` the new process reads from no connection and accepts none, so that
//! the old one can go on with all of them at any time before that; after it the old one reads from
//! none of those that it handed over. A frame that does not fit ends the hand-over.
//!
//! Frames are JSON, one for each message of a socket that keeps them apart (SOCK_SEQPACKET,
//! unix(7)). A later version only adds members, which earlier ones skip. Everything but
//! [`channel`] works on bytes and frames alone.

pub(crate) mod channel;
pub(crate) mod frame;
pub(crate) mod rows;
pub(crate) mod steps;
