//! Reports from text.

use super::error::CompareError;
use crate::load::report::{Report, SCHEMA_VERSION, SCHEMA_VERSION_MIN};
use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// Name of the baseline server in a record.
pub const BASELINE: &str = "baseline";
/// The most reports in a text.
pub const REPORTS_MAX: usize = 1_000;

/// The field that every version of the schema has.
#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

/// Reads JSON documents one after another, with or without white space between.
///
/// # Errors
/// If one is no report, or of another version of the schema, or if there are more than
/// [`REPORTS_MAX`]. A text without any is no error.
pub fn read_reports(text: &str) -> Result<Vec<Report>, CompareError> {
    let documents = Deserializer::from_str(text).into_iter::<&RawValue>();
    let numbered = (1..).zip(documents);
    numbered
        .map(|(number, document)| {
            let source = |source| CompareError::Unreadable { number, source };
            read_report(number, document.map_err(source)?)
        })
        .collect()
}

/// One run of a record that `perf-scripts/compare.sh` keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedRun {
    /// Name of the workload.
    pub workload: String,
    /// Name of the server.
    pub server: String,
    /// The report of the run.
    pub report: Report,
}

/// Reads the runs of a record, a JSON document each, in their order.
///
/// # Errors
/// As [`read_reports`].
pub fn read_record(text: &str) -> Result<Vec<RecordedRun>, CompareError> {
    #[derive(Deserialize)]
    struct Line<'a> {
        workload: String,
        server: String,
        #[serde(borrow)]
        report: &'a RawValue,
    }
    let lines = Deserializer::from_str(text).into_iter::<Line<'_>>();
    let numbered = (1..).zip(lines);
    numbered
        .map(|(number, line)| {
            let line = line.map_err(|source| CompareError::Unreadable { number, source })?;
            Ok(RecordedRun {
                workload: line.workload,
                // The name of the baseline in older records.
                server: match &*line.server {
                    "floor" => BASELINE.to_owned(),
                    _ => line.server,
                },
                report: read_report(number, line.report)?,
            })
        })
        .collect()
}

fn read_report(number: usize, document: &RawValue) -> Result<Report, CompareError> {
    if number > REPORTS_MAX {
        return Err(CompareError::TooMany { limit: REPORTS_MAX });
    }
    let unreadable = |source| CompareError::Unreadable { number, source };
    // The version first: a report of another one may differ in anything else.
    let version: Version = serde_json::from_str(document.get()).map_err(unreadable)?;
    let found = version.schema_version;
    if !(SCHEMA_VERSION_MIN..=SCHEMA_VERSION).contains(&found) {
        return Err(CompareError::Version { number, found });
    }
    serde_json::from_str(document.get()).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::{REPORTS_MAX, read_record, read_reports};
    use crate::load::report::{Outcome, samples};

    #[test]
    fn documents_are_read_one_after_another() {
        let all = samples::all();
        let compact = all.each_ref().map(|r| serde_json::to_string(r).unwrap());
        let indented = all
            .each_ref()
            .map(|r| serde_json::to_string_pretty(r).unwrap());
        for text in [compact.concat(), compact.join("\n"), indented.join("\n\n")] {
            assert_eq!(read_reports(&text).unwrap(), all);
        }
        assert!(read_reports(" \n").unwrap().is_empty());
    }

    #[test]
    fn an_invalid_report_is_refused_with_its_number() {
        let report = serde_json::to_string(&samples::call()).unwrap();
        let check = |second: &str, expected: &str| {
            let fault = read_reports(&format!("{report}\n{second}")).unwrap_err();
            let text = fault.to_string();
            assert!(text.starts_with(expected), "{text}");
        };
        check("{", "report 2 cannot be read: EOF");
        check("3", "report 2 cannot be read: invalid type");
        check(
            "{}",
            "report 2 cannot be read: missing field `schema_version`",
        );
        check(
            "{\"schema_version\": 1}",
            "report 2 cannot be read: missing field `environment`",
        );
        check(
            "{\"schema_version\": 3}",
            "report 2 has schema version 3, and this build reads 1 to 2",
        );
    }

    #[test]
    fn a_record_is_read_with_the_old_names_too() {
        let mut old = serde_json::to_value(samples::soak()).unwrap();
        old["schema_version"] = 1.into();
        old["outcome"]["command"] = "hold".into();
        old["outcome"]["errors"]
            .as_object_mut()
            .unwrap()
            .remove("tool_error");
        old["outcome"]["connect"]
            .as_object_mut()
            .unwrap()
            .remove("curve");
        let line = |server: &str| {
            format!(r#"{{"workload":"W","server":"{server}","round":1,"report":{old}}}"#)
        };
        let runs = read_record(&[line("floor"), line("corelane")].join("\n")).unwrap();
        let servers: Vec<&str> = runs.iter().map(|run| &*run.server).collect();
        assert_eq!(servers, ["baseline", "corelane"]);
        assert!(matches!(runs[0].report.outcome, Outcome::Soak(_)));
    }

    #[test]
    fn more_reports_than_the_limit_are_refused() {
        let report = serde_json::to_string(&samples::fanout()).unwrap();
        let most = report.repeat(REPORTS_MAX);
        assert_eq!(read_reports(&most).unwrap().len(), REPORTS_MAX);
        let fault = read_reports(&(most + &report)).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "more than 1000 reports on one side: compare fewer"
        );
    }
}
