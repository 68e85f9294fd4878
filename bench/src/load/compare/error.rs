//! Errors of reports that cannot be compared.

use crate::load::report::{SCHEMA_VERSION, SCHEMA_VERSION_MIN};

/// Reports that cannot be read or compared; the fault is always in the input.
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
        /// The error of the parser.
        source: serde_json::Error,
    },
    /// Another version of the schema.
    #[error(
        "report {number} has schema version {found}, and this build reads {SCHEMA_VERSION_MIN} to \
         {SCHEMA_VERSION}"
    )]
    Version {
        /// Counted from 1.
        number: usize,
        /// The version it names.
        found: u32,
    },
    /// More reports than a side may have.
    #[error("more than {limit} reports on one side: compare fewer")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}
