//! Measuring Corelane.
//!
//! [`micro`] holds the micro-benchmarks: the parts of one request and of one core, each alone.
//! Invariant: no number leaves this crate without the answer of the work it timed having been
//! checked. It lacks whole servers and sockets: those are measured from outside, under load.

pub mod micro;
