//! The test harness.

pub mod tidy;
