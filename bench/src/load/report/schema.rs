//! The schema of reports, derived from their types.

use super::model::Report;
use schemars::schema_for;

/// JSON Schema of a [`Report`], indented, with a line feed at its end.
pub fn schema() -> String {
    format!("{:#}\n", schema_for!(Report).as_value())
}

#[cfg(test)]
mod tests {
    use super::super::{Report, samples};
    use super::schema;
    use serde_json::{Value, json};

    fn validator() -> jsonschema::Validator {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    }

    #[test]
    fn a_report_of_each_command_is_valid() {
        let validator = validator();
        for report in samples::all() {
            let document = serde_json::to_value(&report).unwrap();
            let faults: Vec<String> = validator
                .iter_errors(&document)
                .map(|fault| fault.to_string())
                .collect();
            assert!(faults.is_empty(), "{}: {faults:?}", document["outcome"]);
        }
    }

    #[test]
    fn a_report_with_another_type_or_without_a_field_is_not() {
        let validator = validator();
        let document = serde_json::to_value(samples::call()).unwrap();
        let changes = [
            ("/outcome/command", json!("other")),
            ("/outcome/counts/sent", json!(-1)),
            ("/outcome/latency/p99_ns", json!("1 ms")),
            ("/environment", json!({})),
            ("/invalid", Value::Null),
        ];
        for (pointer, value) in changes {
            let mut changed = document.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(!validator.is_valid(&changed), "{pointer}");
        }
    }

    #[test]
    fn a_report_that_was_written_is_read_as_it_was() {
        for report in samples::all() {
            let text = serde_json::to_string(&report).unwrap();
            let read: Report = serde_json::from_str(&text).unwrap();
            assert_eq!(read, report);
        }
    }
}
