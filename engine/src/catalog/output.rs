//! Checks a tool's structured content against its output schema.
//!
//! Content that does not fit is the server's fault: its client gets an internal error, and the log
//! names the tool and the broken rule. The content itself goes to neither.

use std::rc::Rc;
use std::sync::Arc;

use corelane_protocol::jsonrpc::{Decoder, JsonLimits};
use corelane_protocol::mcp::output_schema::OutputSchema;
use corelane_protocol::mcp::tools::ToolResult;

use super::schema::CompiledSchema;
use super::schema_defect::SchemaDefect;
use crate::handler::outcome::{Answer, Outcome};
use crate::handler::runner::{
    Arguments, ArgumentsHandler, ArgumentsRunner, Runner, Source, Started,
};
use crate::handler::{Call, CallError};

/// A compiled output schema.
#[derive(Debug)]
pub(crate) struct OutputValidator {
    tool: String,
    schema: CompiledSchema,
    is_wrapped: bool,
}

impl OutputValidator {
    /// Compiles `schema`, the output schema of the tool called `tool`.
    pub(crate) fn new(tool: &str, schema: &OutputSchema) -> Result<OutputValidator, SchemaDefect> {
        Ok(OutputValidator {
            tool: tool.to_owned(),
            schema: CompiledSchema::of_output(schema.text())?,
            is_wrapped: schema.is_wrapped(),
        })
    }

    /// A handler whose results are checked.
    pub(crate) fn hold(self, handler: ArgumentsHandler) -> ArgumentsHandler {
        let ArgumentsHandler { source, read } = handler;
        let source = self.hold_runners_of(source);
        ArgumentsHandler { source, read }
    }

    fn hold_runners_of(self, source: Source<ArgumentsRunner>) -> Source<ArgumentsRunner> {
        let promise = Arc::new(self);
        Arc::new(move || {
            Rc::new(Validated {
                runner: source(),
                promise: Rc::new(OfShard(Arc::clone(&promise))),
            })
        })
    }

    fn check(&self, outcome: Outcome) -> Outcome {
        let Ok(Answer::Tool(mut result)) = outcome else {
            return outcome;
        };
        if !result.is_error
            && let Err(fault) = self.fault(&result)
        {
            tracing::error!(tool = self.tool, fault, "a tool broke its output schema");
            let text = "the tool's result does not fit its output schema";
            return Err(CallError::internal(text));
        }
        result.wraps_objects = self.is_wrapped;
        Ok(Answer::Tool(result))
    }

    fn fault(&self, result: &ToolResult) -> Result<(), String> {
        let structured = result.structured.as_ref();
        let structured = structured.ok_or_else(|| "there is no structured content".to_owned())?;
        let mut decoder = Decoder::new(JsonLimits::default());
        let decoded = decoder.decode(structured.get().as_bytes());
        let decoded =
            decoded.map_err(|error| format!("the structured content is no use: {error}"))?;
        if decoded.duplicate_member().is_some() {
            return Err("the structured content has a member twice".to_owned());
        }
        match self.schema.is_valid(decoded.root()) {
            true => Ok(()),
            false => Err(self.schema.broken_rule(decoded.root())),
        }
    }
}

/// A runner whose results are checked.
struct Validated {
    runner: Rc<ArgumentsRunner>,
    promise: Rc<OfShard>,
}

/// A shard's own reference to a validator, counted on the shard: a call that waits takes a clone.
struct OfShard(Arc<OutputValidator>);

impl<'a> Runner<Arguments<'a>> for Validated {
    fn start(&self, call: &Call, arguments: Arguments<'a>) -> Started {
        match self.runner.start(call, arguments) {
            Started::Ready(outcome) => Started::Ready(self.promise.0.check(outcome)),
            Started::Waiting(waiting) => {
                let promise = Rc::clone(&self.promise);
                Started::Waiting(Box::pin(async move { promise.0.check(waiting.await) }))
            }
            Started::BadArguments(text) => Started::BadArguments(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn promise(schema: &str) -> OutputValidator {
        let schema = RawValue::from_string(schema.to_owned()).unwrap();
        OutputValidator::new("t", &OutputSchema::new(schema).unwrap()).unwrap()
    }

    fn result(structured: Option<&str>, is_error: bool) -> ToolResult {
        ToolResult {
            structured: structured.map(|text| RawValue::from_string(text.to_owned()).unwrap()),
            is_error,
            ..ToolResult::text("t")
        }
    }

    #[test]
    fn only_fitting_content_is_sent() {
        let secrets = r#"{"type":"object","additionalProperties":{"type":"integer"}}"#;
        for (schema, structured, is_error, expected) in [
            (secrets, Some(r#"{"a":1}"#), false, Ok(())),
            (
                secrets,
                Some(r#"{"secret":"hidden"}"#),
                false,
                Err(r#""/additionalProperties/type""#),
            ),
            (secrets, Some("[]"), false, Err(r#""/type""#)),
            (secrets, None, false, Err("there is no structured content")),
            (r#"{"type":"array"}"#, Some("[]"), false, Ok(())),
            (
                secrets,
                Some(r#"{"a":1,"a":2}"#),
                false,
                Err("the structured content has a member twice"),
            ),
        ] {
            let promise = promise(schema);
            let result = result(structured, is_error);
            let fault = promise.fault(&result);
            assert_eq!(
                fault.as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|it| *it)
            );
            assert_eq!(
                promise.check(Ok(Answer::Tool(result))).is_ok(),
                fault.is_ok()
            );
        }
    }

    #[test]
    fn a_failure_needs_no_content() {
        let promise = promise(r#"{"type":"array"}"#);
        let Ok(Answer::Tool(checked)) = promise.check(Ok(Answer::Tool(result(None, true)))) else {
            panic!("a failure is a result");
        };
        assert!(checked.is_error && checked.wraps_objects);
        let failed = promise.check(Err(CallError::new("no")));
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }
}
