//! The parts of the baseline that the cheapest relay has too, so that both cost the same for the
//! same work: its socket, its ring, its receive buffers, and where a request ends.

pub mod buffers;
pub mod listen;
pub mod outbox;
pub mod request;
pub mod ring;
pub mod token;
