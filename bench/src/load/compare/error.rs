//! What reports are refused for.

use crate::load::report::SCHEMA_VERSION;

/// Reports that cannot be read or compared; the fault is always of the one who gave them.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A side is empty.
    #[error("side {side} has no report")]
    NoReports {
        /// A or B.
        side: &'static str,
    },
    /// Figures of different commands have no metric in common.
    #[error("a report of {one} cannot be compared with one of {other}")]
    Commands {
        /// The first report's.
        one: &'static str,
        /// The first that differs.
        other: &'static str,
    },
    /// The text is no stream of reports.
    #[error("report {number} cannot be read: {source}")]
    Unreadable {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another version of the schema.
    #[error("report {number} has schema version {found}, only {SCHEMA_VERSION} is known")]
    Version {
        /// Counted from 1.
        number: usize,
        /// What it says.
        found: u32,
    },
    /// More reports than a side may have.
    #[error("more than {limit} reports on one side: compare fewer")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}
