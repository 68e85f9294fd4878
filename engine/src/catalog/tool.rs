//! One tool: its definition, its schema and its handler.

use std::sync::Arc;

use corelane_protocol::binding::header_param::{self, HeaderParam, HeaderParamDefect};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::tools::{ToolAnnotations, ToolDefinition, is_tool_name};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::schema::{InputSchema, SchemaDefect};
use crate::handler::runner::{self, RunnerSource};
use crate::handler::{Call, IntoToolResult, ToolError};

/// A tool to be offered by a [`Server`](crate::Server).
pub struct Tool {
    name: String,
    title: Option<String>,
    description: String,
    schema: Result<Box<RawValue>, String>,
    annotations: ToolAnnotations,
    requires: Option<ClientCapability>,
    source: Arc<dyn RunnerSource>,
}

/// What makes a tool unusable.
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
    /// An `x-mcp-header` cannot be used.
    #[error("its input schema {0}")]
    HeaderParam(#[from] HeaderParamDefect),
}

impl Tool {
    /// A tool whose input schema comes from the type of its arguments.
    pub fn new<F, A, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        function: F,
    ) -> Tool
    where
        F: AsyncFn(&Call, A) -> Result<R, ToolError> + Send + Sync + 'static,
        A: DeserializeOwned + JsonSchema + 'static,
        R: IntoToolResult + 'static,
    {
        let schema = schemars::SchemaGenerator::default().into_root_schema_for::<A>();
        let schema = serde_json::value::to_raw_value(&schema).map_err(|error| error.to_string());
        Tool::from_parts(
            name.into(),
            description.into(),
            schema,
            runner::source(function),
        )
    }

    /// A tool with the JSON Schema `schema`, which clients get byte for byte.
    ///
    /// The dialect is 2020-12 unless `$schema` names another. References to other documents are
    /// refused when the server starts.
    pub fn with_schema<F, A, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        schema: impl Into<String>,
        function: F,
    ) -> Tool
    where
        F: AsyncFn(&Call, A) -> Result<R, ToolError> + Send + Sync + 'static,
        A: DeserializeOwned + 'static,
        R: IntoToolResult + 'static,
    {
        let schema = RawValue::from_string(schema.into()).map_err(|error| error.to_string());
        Tool::from_parts(
            name.into(),
            description.into(),
            schema,
            runner::source(function),
        )
    }

    fn from_parts(
        name: String,
        description: String,
        schema: Result<Box<RawValue>, String>,
        source: Arc<dyn RunnerSource>,
    ) -> Tool {
        Tool {
            name,
            title: None,
            description,
            schema,
            annotations: ToolAnnotations::default(),
            requires: None,
            source,
        }
    }

    /// Sets the name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Tool {
        self.title = Some(title.into());
        self
    }

    /// Sets the hints on the tool's behaviour.
    #[must_use]
    pub fn annotations(mut self, annotations: ToolAnnotations) -> Tool {
        self.annotations = annotations;
        self
    }

    /// Refuses calls of clients that did not declare `capability`.
    #[must_use]
    pub fn requires(mut self, capability: ClientCapability) -> Tool {
        self.requires = Some(capability);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn into_parts(self) -> Result<ToolParts, ToolDefect> {
        if !is_tool_name(&self.name) {
            return Err(ToolDefect::Name);
        }
        let raw = self.schema.map_err(ToolDefect::SchemaText)?;
        let schema: serde_json::Value = serde_json::from_str(raw.get())
            .map_err(|error| ToolDefect::SchemaText(error.to_string()))?;
        Ok(ToolParts {
            input: InputSchema::compile(&schema)?,
            header_params: header_param::collect(&schema)?,
            definition: ToolDefinition {
                name: self.name,
                title: self.title,
                description: self.description,
                input_schema: raw,
                annotations: self.annotations,
            },
            requires: self.requires,
            source: self.source,
        })
    }
}

/// A checked tool.
pub(crate) struct ToolParts {
    /// What clients are told.
    pub(crate) definition: ToolDefinition,
    /// Checks arguments.
    pub(crate) input: InputSchema,
    /// Arguments that modern clients repeat in headers.
    pub(crate) header_params: Vec<HeaderParam>,
    /// What a client must be able to do.
    pub(crate) requires: Option<ClientCapability>,
    /// Makes the handler of each shard.
    pub(crate) source: Arc<dyn RunnerSource>,
}

impl std::fmt::Debug for ToolParts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ToolParts")
            .field("definition", &self.definition)
            .finish()
    }
}
