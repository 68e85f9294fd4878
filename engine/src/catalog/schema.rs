//! JSON Schemas of a tool's arguments and structured content: compiled once, checked on the
//! decoder's own tape.
//!
//! `jsonschema` validates any representation of JSON that implements its traits. Implementing them
//! for [`Value`] saves building a `serde_json::Value` for each call.
//!
//! The time to check a value grows with the value. Listing its faults may take far longer and copy
//! more bytes than the value has, so that is bounded.

mod alternatives;
mod tape;

use corelane_protocol::jsonrpc::Value;

use super::schema_bounds;
use super::schema_defect::SchemaDefect;
use tape::{Budget, Tape, TapeNode};

/// A compiled schema of a tool's arguments or of its structured content.
#[derive(Debug)]
pub(crate) struct CompiledSchema {
    validator: jsonschema::Validator<Tape>,
}

/// Faults named in one answer to a client; the rest is left out.
const FAULTS_NAMED_MAX: usize = 5;

/// Work that finding faults may take, in the units of [`Budget`]: a few milliseconds. Each
/// alternative of a schema is tried for its faults, and no result is kept: a schema that refers to
/// itself in two alternatives takes twice as long for each level of a value, and the client chooses
/// the number of levels.
const FAULT_WORK_MAX: u64 = 65_536;

impl CompiledSchema {
    /// Compiles the schema of a tool's arguments.
    pub(crate) fn of_input(schema: &serde_json::Value) -> Result<CompiledSchema, SchemaDefect> {
        if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
            return Err(SchemaDefect::RootType);
        }
        CompiledSchema::compile(schema)
    }

    /// Compiles the schema `text` of a tool's structured content, if it is within bounds.
    pub(crate) fn of_output(text: &str) -> Result<CompiledSchema, SchemaDefect> {
        let schema = serde_json::from_str(text);
        let schema = schema.map_err(|error| SchemaDefect::Invalid(error.to_string()))?;
        schema_bounds::check(text.len(), &schema)?;
        CompiledSchema::compile(&schema)
    }

    /// Nothing is fetched: a reference to another document is an error. Patterns run on an engine
    /// that is linear in the length of the text.
    fn compile(schema: &serde_json::Value) -> Result<CompiledSchema, SchemaDefect> {
        let validator = jsonschema::options_for::<Tape>()
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(schema)
            .map_err(|error| SchemaDefect::Invalid(error.to_string()))?;
        Ok(CompiledSchema { validator })
    }

    /// Whether `value` fits the schema.
    pub(crate) fn is_valid(&self, value: Value<'_>) -> bool {
        // The result of a subschema for a value is kept: each pair is checked at most once.
        let budget = Budget::new(u64::MAX);
        self.validator.is_valid(TapeNode::root(value, &budget))
    }

    /// The place in the schema of the first rule that `value` breaks, for the operator: a place in
    /// the value would name its members.
    pub(crate) fn broken_rule(&self, value: Value<'_>) -> String {
        let budget = Budget::new(FAULT_WORK_MAX);
        match self.validator.validate(TapeNode::root(value, &budget)) {
            Err(error) if budget.left() > 0 => format!("{:?}", error.schema_path().as_str()),
            _ => "some rule".to_owned(),
        }
    }

    /// Why `arguments` do not fit, in words for the model.
    pub(crate) fn faults(&self, arguments: Value<'_>) -> String {
        let budget = Budget::new(FAULT_WORK_MAX);
        let mut faults = self
            .validator
            .iter_errors(TapeNode::root(arguments, &budget))
            .map(|error| alternatives::describe(&error));
        let mut text = String::from("invalid arguments: ");
        for (at, fault) in faults.by_ref().take(FAULTS_NAMED_MAX).enumerate() {
            if at > 0 {
                text.push_str("; ");
            }
            text.push_str(clip_fault(&fault));
        }
        if faults.next().is_some() {
            text.push_str("; and more");
        }
        if budget.left() == 0 {
            // The last fault is about a value that was hidden, and is wrong.
            return String::from("invalid arguments: the value is too large to list its errors");
        }
        text
    }
}

/// Bytes of one fault: the names of unexpected properties come from the client.
const FAULT_BYTES_MAX: usize = 512;

fn clip_fault(fault: &str) -> &str {
    let end = (0..=fault.len().min(FAULT_BYTES_MAX))
        .rev()
        .find(|end| fault.is_char_boundary(*end));
    &fault[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests;
