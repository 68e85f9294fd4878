//! Reports from text.

use super::error::CompareError;
use crate::load::report::{Report, SCHEMA_VERSION};
use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// Reports that a text may hold.
pub const REPORTS_MAX: usize = 1_000;

/// What every version of the schema has.
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
    let mut reports = Vec::new();
    for document in Deserializer::from_str(text).into_iter::<&RawValue>() {
        if reports.len() == REPORTS_MAX {
            return Err(CompareError::TooMany { limit: REPORTS_MAX });
        }
        let number = reports.len() + 1;
        let unreadable = |source| CompareError::Unreadable { number, source };
        let document = document.map_err(unreadable)?.get();
        // The version first: a report of another one may differ in anything else.
        let version: Version = serde_json::from_str(document).map_err(unreadable)?;
        let found = version.schema_version;
        if found != SCHEMA_VERSION {
            return Err(CompareError::Version { number, found });
        }
        reports.push(serde_json::from_str(document).map_err(unreadable)?);
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::{REPORTS_MAX, read_reports};
    use crate::load::report::samples;

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
    fn what_is_no_report_is_refused_with_its_number() {
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
            "{\"schema_version\": 2}",
            "report 2 has schema version 2, only 1 is known",
        );
    }

    #[test]
    fn more_reports_than_the_limit_are_refused() {
        let report = serde_json::to_string(&samples::fan()).unwrap();
        let most = report.repeat(REPORTS_MAX);
        assert_eq!(read_reports(&most).unwrap().len(), REPORTS_MAX);
        let fault = read_reports(&(most + &report)).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "more than 1000 reports on one side: compare fewer"
        );
    }
}
