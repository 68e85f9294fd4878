//! The conformance suite of the Model Context Protocol, run against a real server process.
//!
//! The suite (`@modelcontextprotocol/conformance`, pinned in `tests/conformance`) runs every
//! scenario of a revision's requirement set and writes its checks; [`check_run`] compares them with
//! a list of expected failures. The suite's own result is not enough: it leaves out the scenarios
//! that it does not score, which this server must pass too.
//!
//! Invariant: a run that ends early, or leaves a scenario out, is a failure and never a pass. It
//! deliberately lacks the client half of the suite, and any interpretation of a check.

mod bridge;
mod check_result;
mod expectation;
mod suite;

pub use bridge::Bridge;
pub use check_result::{CheckResult, check_run};
pub use expectation::{Expectation, ExpectationError};
pub use suite::{Check, Run, Scenario, Status, home, node, python, python_2, run};
