//! The report of a run, as `--json` writes it and `compare` reads it.
//!
//! The types are the documented schema: `corelane-load schema` prints it, derived from them. Times
//! are whole nanoseconds, memory is bytes, rates are per second, and names say so. Invariant: a
//! field keeps its name and meaning for as long as [`SCHEMA_VERSION`] does; fields may be added.

mod axis;
pub(crate) mod columns;
mod hgrm;
mod html;
mod model;
mod plot;
pub(crate) mod quantity;
#[cfg(test)]
pub(crate) mod samples;
mod schema;
pub(crate) mod table;

pub use hgrm::hgrm;
pub use html::html;
pub use model::{
    ActiveReport, CallReport, Counts, CurvePoint, Distribution, Errors, FanoutReport, FanoutRound,
    Load, MethodReport, Outcome, Pace, ProcessUse, Report, SCHEMA_VERSION, SCHEMA_VERSION_MIN,
    Second, Slope, SoakReport, SoakStep, SweepReport, SweepStep,
};
pub use schema::schema;
pub use table::table;
