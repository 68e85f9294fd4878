//! The test harness.

pub mod conformance;
pub mod tidy;
