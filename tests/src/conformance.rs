//! The conformance suite of the Model Context Protocol, run against a real server process.
//!
//! The suite (`@modelcontextprotocol/conformance`, pinned in `tests/conformance`) runs every
//! scenario of a revision's requirement set and writes what it checked; [`judge`] compares that
//! with a list of what is expected to fail. The suite's own verdict is not enough: it leaves out
//! the scenarios it does not score, and those belong to what this server promises.
//!
//! Invariant: a run that ends early, or leaves a scenario out, is a failure and never a pass. What
//! it lacks on purpose: the client half of the suite, and any opinion on what a check means.

mod check_result;
mod expectation;
mod suite;

pub use check_result::{CheckResult, judge};
pub use expectation::{Expectation, ExpectationError};
pub use suite::{Check, Run, Scenario, Status, run};
pub(crate) use suite::{home, node};
