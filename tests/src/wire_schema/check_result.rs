//! The check of one message.

use std::fmt;

use serde_json::Value;

use super::definitions::{Definitions, named};
use super::official::{Revision, validator};

/// Why a message does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    revision: Revision,
    answers: Option<String>,
    message: String,
    faults: Vec<String>,
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.revision.name();
        writeln!(
            formatter,
            "a message of the server does not fit the schema of {revision}"
        )?;
        if let Some(method) = &self.answers {
            writeln!(formatter, "  in answer to {method}")?;
        }
        writeln!(formatter, "  {}", self.message)?;
        for fault in &self.faults {
            writeln!(formatter, "  - {fault}")?;
        }
        Ok(())
    }
}

/// Checks a message of the server against the schema of `revision`. `answers` is the method of the
/// request that the message belongs to, if it is known: without it a result is only checked against
/// the rules for every result.
///
/// # Errors
/// [`Misfit`] lists every fault.
///
/// # Panics
/// If the schemas are not installed.
pub fn check_schema(
    message: &Value,
    revision: Revision,
    answers: Option<&str>,
) -> Result<(), Misfit> {
    let mut faults = Vec::new();
    match message {
        Value::Array(batch) => check_batch(batch, revision, &mut faults),
        _ => judge_one(message, revision, answers, &mut faults),
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Misfit {
        revision,
        answers: answers.map(str::to_owned),
        message: shortened(message),
        faults,
    })
}

/// A batch is an answer to a batch, whose methods are not kept; only 2025-03-26 has them.
fn check_batch(batch: &[Value], revision: Revision, faults: &mut Vec<String>) {
    if revision != Revision::March2025 {
        faults.push("this revision has no batches".to_owned());
    }
    if batch.is_empty() {
        faults.push("a batch of nothing".to_owned());
    }
    for message in batch {
        judge_one(message, revision, None, faults);
    }
}

fn judge_one(message: &Value, revision: Revision, answers: Option<&str>, faults: &mut Vec<String>) {
    let mut judgement = Check {
        revision,
        table: Definitions::of(revision),
        faults,
    };
    let kinds = [
        message.get("method"),
        message.get("result"),
        message.get("error"),
    ];
    match kinds {
        [Some(method), None, None] => judgement.notified_or_requested(message, method),
        [None, Some(result), None] => judgement.result(message, result, answers),
        [None, None, Some(error)] => judgement.error(message, error),
        _ => judgement
            .faults
            .push("not exactly one of method, result and error".to_owned()),
    }
}

struct Check<'f> {
    revision: Revision,
    table: &'static Definitions,
    faults: &'f mut Vec<String>,
}

impl Check<'_> {
    /// A notification or a request.
    fn notified_or_requested(&mut self, message: &Value, method: &Value) {
        let (any, table) = match message.get("id") {
            None => (self.table.notification, self.table.notifications),
            Some(_) => (self.table.request, self.table.requests),
        };
        self.hold(message, any, "");
        let Some(method) = method.as_str() else {
            return;
        };
        match named(table, &method) {
            Some(definition) => self.hold(message, definition, ""),
            None => self
                .faults
                .push(format!("{method} is not for a server to send as {any}")),
        }
    }

    fn result(&mut self, message: &Value, result: &Value, answers: Option<&str>) {
        self.hold(message, self.table.response, "");
        let Some(method) = answers else {
            return;
        };
        let other = self.table.other_results.iter().find(|other| {
            let member = result.get(other.member);
            let is_it = match other.text {
                None => member.is_some(),
                Some(text) => member.is_some_and(|member| member == text),
            };
            is_it && other.methods.contains(&method)
        });
        if let Some(other) = other {
            return self.hold(result, other.definition, "/result");
        }
        let definition = named(self.table.results, &method).unwrap_or(self.table.result);
        self.hold(result, definition, "/result");
        if let (Some(plain), Some(found)) = (self.table.result_type, result.get("resultType"))
            && found != plain
        {
            self.faults
                .push(format!("resultType {found} is not for {method}"));
        }
    }

    fn error(&mut self, message: &Value, error: &Value) {
        if message.get("id").is_none() && self.table.error == "JSONRPCError" {
            // The transports of these revisions allow an error response without id where the id of
            // the request is unknown, but their schemas do not.
            let later = Definitions::of(Revision::November2025);
            return self.hold_to(Revision::November2025, message, later.error, "");
        }
        let own = error["code"]
            .as_i64()
            .and_then(|code| named(self.table.errors, &code));
        self.hold(message, own.unwrap_or(self.table.error), "");
    }

    fn hold(&mut self, value: &Value, definition: &'static str, place: &str) {
        self.hold_to(self.revision, value, definition, place);
    }

    /// Validates `value`, which is at `place` in its message.
    fn hold_to(
        &mut self,
        revision: Revision,
        value: &Value,
        definition: &'static str,
        place: &str,
    ) {
        let Some(validator) = validator(revision, definition) else {
            self.faults
                .push(format!("this revision has no {definition}"));
            return;
        };
        // The message is shown above; repeating parts of it for every fault would hide the faults.
        self.faults
            .extend(validator.iter_errors(value).map(|error| {
                format!(
                    "{definition}: {} at {place}{} (by {})",
                    error.masked(),
                    error.instance_path(),
                    error.schema_path()
                )
            }));
    }
}

/// A message as it is shown to people.
fn shortened(message: &Value) -> String {
    /// Enough for any message but a list of many tools.
    const SHOWN_BYTES_MAX: usize = 4000;
    let mut text = message.to_string();
    if text.len() > SHOWN_BYTES_MAX {
        let bytes = text.len();
        text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
        text.push_str(&format!("... of {bytes} bytes"));
    }
    text
}

#[cfg(test)]
mod tests;
