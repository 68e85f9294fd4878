//! One tool: its definition, its schema and its handler.

use std::sync::Arc;
use std::time::Duration;

use corelane_protocol::binding::header_param::{self, HeaderParam, HeaderParamDefect};
use corelane_protocol::jsonrpc::Value;
use corelane_protocol::mcp::about::{About, Icon};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::output_schema::{OutputSchema, OutputSchemaError};
use corelane_protocol::mcp::tasks::TaskSupport;
use corelane_protocol::mcp::tools::{ToolAnnotations, ToolDefinition, is_tool_name};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::output::OutputValidator;
use super::schema::CompiledSchema;
use super::schema_bounds;
use super::schema_defect::SchemaDefect;
use crate::handler::outcome::{Answer, Outcome};
use crate::handler::runner::{self, ArgumentsHandler};
use crate::handler::type_schema::{self, ArgumentsSchema};
use crate::handler::{Call, CallError, IntoToolResult};
use crate::upstream::entry::RelayedEntry;

/// A tool to be offered by a [`Server`](crate::Server).
pub struct Tool {
    name: String,
    about: About,
    schema: Result<Box<RawValue>, String>,
    /// The schema that arguments are checked against, unless it is the listed one.
    accepted: Option<schemars::Schema>,
    output_schema: Option<Result<Box<RawValue>, String>>,
    annotations: ToolAnnotations,
    requires: Option<ClientCapability>,
    task_support: Option<TaskSupport>,
    in_flight_max: Option<usize>,
    timeout: Option<Duration>,
    is_audited: bool,
    relayed: Option<Arc<RelayedEntry>>,
    handler: ArgumentsHandler,
}

/// Why a tool is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ToolDefect {
    /// The name has an illegal length or character.
    #[error("a tool name has 1 to 128 of A-Z a-z 0-9 _ . -")]
    Name,
    /// The schema does not parse.
    #[error("its input schema is not JSON: {0}")]
    SchemaText(String),
    /// The schema cannot be used.
    #[error("its input schema {0}")]
    Schema(#[from] SchemaDefect),
    /// The output schema does not parse.
    #[error("its output schema is not JSON: {0}")]
    OutputSchemaText(String),
    /// The output schema cannot be sent.
    #[error("its output schema {0}")]
    OutputSchemaRoot(#[from] OutputSchemaError),
    /// The output schema cannot be used.
    #[error("its output schema {0}")]
    OutputSchema(SchemaDefect),
    /// An `x-mcp-header` cannot be used.
    #[error("its input schema {0}")]
    HeaderParam(#[from] HeaderParamDefect),
}

impl Tool {
    /// A tool whose input schema comes from the type of its arguments, and its output schema
    /// from the type of its result if that is [`Structured`](crate::Structured).
    pub fn new<F, A, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        function: F,
    ) -> Tool
    where
        F: AsyncFn(&Call, A) -> Result<R, CallError> + Send + Sync + 'static,
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: IntoToolResult + 'static,
    {
        let ArgumentsSchema { listed, accepted } = type_schema::of_arguments::<A>();
        let listed = serde_json::value::to_raw_value(&listed).map_err(|error| error.to_string());
        Tool {
            accepted: Some(accepted),
            ..Tool::from_parts(name.into(), description.into(), listed, function)
        }
    }

    /// A tool with the JSON Schema `schema`, which clients get byte for byte. As with
    /// [`Tool::new`], arguments are `Send`: long ones are read on another thread.
    ///
    /// The dialect is 2020-12 unless `$schema` names another. References to other documents are
    /// refused when the server starts.
    pub fn from_schema<F, A, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        schema: impl Into<String>,
        function: F,
    ) -> Tool
    where
        F: AsyncFn(&Call, A) -> Result<R, CallError> + Send + Sync + 'static,
        A: DeserializeOwned + Send + 'static,
        R: IntoToolResult + 'static,
    {
        let schema = RawValue::from_string(schema.into()).map_err(|error| error.to_string());
        Tool::from_parts(name.into(), description.into(), schema, function)
    }

    fn from_parts<F, A, R>(
        name: String,
        description: String,
        schema: Result<Box<RawValue>, String>,
        function: F,
    ) -> Tool
    where
        F: AsyncFn(&Call, A) -> Result<R, CallError> + Send + Sync + 'static,
        A: DeserializeOwned + Send + 'static,
        R: IntoToolResult + 'static,
    {
        let log_name = format!("tool {name}");
        Tool {
            handler: runner::of_arguments(&log_name, function, into_answer::<R>),
            name,
            about: About {
                description: Some(description),
                ..About::default()
            },
            schema,
            accepted: None,
            output_schema: R::output_schema().map(|schema| {
                serde_json::value::to_raw_value(&schema).map_err(|error| error.to_string())
            }),
            annotations: ToolAnnotations::default(),
            requires: None,
            task_support: None,
            in_flight_max: None,
            timeout: None,
            is_audited: false,
            relayed: None,
        }
    }

    /// Sets the JSON Schema `schema` for the tool's structured content. Modern clients get it byte
    /// for byte and legacy ones as the schema of an object.
    ///
    /// The tool then returns structured content or fails. Content that does not fit is not sent:
    /// the client gets error -32603, and the log names the rule. The same holds for content past
    /// the default limits on messages: 128 levels, a million values.
    #[must_use]
    pub fn with_output_schema(mut self, schema: impl Into<String>) -> Tool {
        let schema = RawValue::from_string(schema.into());
        self.output_schema = Some(schema.map_err(|error| error.to_string()));
        self
    }

    /// Sets the name for people.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Tool {
        self.about.title = Some(title.into());
        self
    }

    /// Adds a picture.
    #[must_use]
    pub fn with_icon(mut self, icon: Icon) -> Tool {
        self.about.icons.push(icon);
        self
    }

    /// Sets `_meta`, which is passed on as it is.
    #[must_use]
    pub fn with_meta(mut self, meta: Box<RawValue>) -> Tool {
        self.about.meta = Some(meta);
        self
    }

    /// Sets the hints on the tool's behaviour.
    #[must_use]
    pub fn with_annotations(mut self, annotations: ToolAnnotations) -> Tool {
        self.annotations = annotations;
        self
    }

    /// Refuses calls of clients that did not declare `capability`.
    #[must_use]
    pub fn with_required_capability(mut self, capability: ClientCapability) -> Tool {
        self.requires = Some(capability);
        self
    }

    /// Lets calls become tasks: their client gets an answer at once and fetches the result later.
    ///
    /// A modern call becomes a task when its handler waits for the first time, except when it waits
    /// for its client; [`Call::start_task`] chooses another moment. A legacy call is a task from
    /// its start if its client requests that.
    #[must_use]
    pub fn with_task_support(mut self, support: TaskSupport) -> Tool {
        self.task_support = Some(support);
        self
    }

    /// Sets how many calls of the tool may wait at once on a shard, instead of
    /// `tools.in_flight_max` of the profile. Past it a call is refused as overloaded before the
    /// handler starts. With 0 every call is refused. Of more than eight places one client
    /// leaves a ninth to others, an anonymous one an eighteenth: addresses are looked up once half
    /// of the places are taken.
    ///
    /// ```
    /// # use corelane::{Call, CallError, Tool};
    /// let slow = Tool::new("query", "Queries the database.", async |_: &Call, _: ()| {
    ///     Ok::<_, CallError>("rows")
    /// })
    /// .with_in_flight_max(32)
    /// .with_timeout(std::time::Duration::from_secs(20));
    /// ```
    #[must_use]
    pub fn with_in_flight_max(mut self, calls: usize) -> Tool {
        self.in_flight_max = Some(calls);
        self
    }

    /// A tool of an upstream, whose definition goes to clients as it was listed.
    pub(super) fn relayed(name: String, entry: RelayedEntry) -> Tool {
        let run = async |_: &Call, _: serde::de::IgnoredAny| Ok(());
        Tool {
            task_support: entry.task_support,
            relayed: Some(Arc::new(entry)),
            // The upstream has a schema and checks arguments.
            ..Tool::from_schema(name, "", r#"{"type":"object"}"#, run)
        }
    }

    /// Sets how long a call of the tool may wait, from its first wait on; late by up to a
    /// millisecond. Then its handler is dropped, and its client gets error -32603. For more than
    /// `calls.timeout_ms` of the profile, that decides.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Tool {
        self.timeout = Some(timeout);
        self
    }

    /// Marks the tool for the audit log: its calls are recorded with `calls = "marked"`, as those
    /// of tools that may destroy something are.
    #[must_use]
    pub fn with_audit(mut self) -> Tool {
        self.is_audited = true;
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The schema of the arguments, unless it is none.
    pub(crate) fn schema(&self) -> Option<&RawValue> {
        self.schema.as_deref().ok()
    }

    pub(crate) fn into_parts(self) -> Result<ToolParts, ToolDefect> {
        if !is_tool_name(&self.name) {
            return Err(ToolDefect::Name);
        }
        let raw = self.schema.map_err(ToolDefect::SchemaText)?;
        let schema: serde_json::Value = serde_json::from_str(raw.get())
            .map_err(|error| ToolDefect::SchemaText(error.to_string()))?;
        schema_bounds::check(raw.get().len(), &schema)?;
        let output = self.output_schema.transpose();
        let output = output.map_err(ToolDefect::OutputSchemaText)?;
        let output = output.map(OutputSchema::new).transpose()?;
        let promise = output
            .as_ref()
            .map(|it| OutputValidator::new(&self.name, it));
        let promise = promise.transpose().map_err(ToolDefect::OutputSchema)?;
        Ok(ToolParts {
            input: CompiledSchema::of_input(match &self.accepted {
                Some(accepted) => accepted.as_value(),
                None => &schema,
            })?,
            header_params: match &self.relayed {
                Some(relayed) => relayed.header_params.clone(),
                None => header_param::collect(&schema)?,
            },
            definition: ToolDefinition {
                name: self.name,
                about: self.about,
                input_schema: raw,
                output_schema: output,
                annotations: self.annotations,
                task_support: self.task_support,
            },
            requires: self.requires,
            in_flight_max: self.in_flight_max,
            timeout: self.timeout,
            is_audited: self.is_audited,
            relayed: self.relayed,
            handler: match promise {
                Some(promise) => promise.hold(self.handler),
                None => self.handler,
            },
        })
    }
}

fn into_answer<R: IntoToolResult>(value: R) -> Outcome {
    value.into_tool_result().map(Answer::Tool)
}

/// A checked tool.
pub(crate) struct ToolParts {
    /// The definition that clients get.
    pub(crate) definition: ToolDefinition,
    /// Checks arguments.
    pub(crate) input: CompiledSchema,
    /// Arguments that modern clients repeat in headers.
    pub(crate) header_params: Vec<HeaderParam>,
    /// The capability that a client must have.
    pub(crate) requires: Option<ClientCapability>,
    /// Calls that may wait at once on a shard, if the profile does not decide.
    pub(crate) in_flight_max: Option<usize>,
    /// How long a call may wait, if it has a limit of its own.
    pub(crate) timeout: Option<Duration>,
    /// Whether the tool is marked for the audit log.
    is_audited: bool,
    /// Its upstream, if it has one: that checks arguments and handles calls.
    pub(crate) relayed: Option<Arc<RelayedEntry>>,
    /// Handles calls.
    pub(crate) handler: ArgumentsHandler,
}

impl ToolParts {
    /// Whether calls are recorded among those of marked tools.
    pub(crate) fn is_audited(&self) -> bool {
        self.is_audited || self.definition.annotations.destructive == Some(true)
    }

    /// Whether `arguments` fit the schema.
    ///
    /// # Errors
    /// Why they do not, in words for the model.
    #[inline]
    pub(crate) fn check(&self, arguments: Value<'_>) -> Result<(), String> {
        match self.input.is_valid(arguments) {
            true => Ok(()),
            false => Err(self.input.faults(arguments)),
        }
    }
}

impl std::fmt::Debug for ToolParts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ToolParts")
            .field("definition", &self.definition)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    struct Add {
        /// First summand.
        a: f64,
        b: Option<u8>,
    }

    #[test]
    fn the_schema_of_typed_arguments_comes_from_their_type() {
        let add = async |_: &Call, Add { a, b }| Ok(a + f64::from(b.unwrap_or(0)));
        let parts = Tool::new("add", "Adds.", add).into_parts().unwrap();
        let schema = parts.definition.input_schema.get();
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["required"], serde_json::json!(["a"]));
        assert_eq!(schema["properties"]["a"]["description"], "First summand.");
        assert_eq!(schema["properties"]["b"]["maximum"], 255);
    }

    #[test]
    fn a_schema_of_the_authors_is_kept_byte_for_byte() {
        let schema = r#"{ "type" : "object",  "x-own": [1,  2.0] }"#;
        let run = async |_: &Call, _: serde_json::Value| Ok(());
        let tool = Tool::from_schema("a", "d", schema, run)
            .with_title("A")
            .with_required_capability(ClientCapability::Roots);
        let parts = tool.into_parts().unwrap();
        assert_eq!(parts.definition.input_schema.get(), schema);
        assert_eq!(parts.definition.about.title.as_deref(), Some("A"));
        assert_eq!(parts.requires, Some(ClientCapability::Roots));
        assert!(parts.header_params.is_empty());
    }
}
