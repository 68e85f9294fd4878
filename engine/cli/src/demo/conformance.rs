//! Tools, resources and prompts that the MCP conformance suite calls by name, with the answers that
//! it expects.

mod changing;
mod elicitation;
mod prompts;
mod resources;
mod samples;
mod tasks;

use schemars::JsonSchema;
use serde::Serialize;

use super::basic;
use corelane::{
    Call, CallError, ClientCapability, Content, LogLevel, ResourceContents, Server, Structured,
    Tool, ToolResult, sleep,
};
use samples::{NoArguments, PNG, STEP, WAV};

#[derive(Serialize, JsonSchema)]
struct Weather {
    /// In degrees Celsius.
    temperature: f64,
    /// The state of the sky.
    conditions: &'static str,
}

const JSON_SCHEMA_2020_12: &str = include_str!("json_schema_2020_12.json");

const CUSTOM_HEADER: &str = include_str!("custom_header.json");

pub(super) fn add_to(server: Server) -> Server {
    let server = prompts::add_to(resources::add_to(add_content(server)));
    let server = add_behaviour(server)
        .with_tool(Tool::from_schema(
            "json_schema_2020_12_tool",
            "Has a schema with keywords of JSON Schema 2020-12.",
            JSON_SCHEMA_2020_12,
            async |_: &Call, arguments: serde_json::Value| Ok(format!("called with {arguments}")),
        ))
        .with_tool(Tool::from_schema(
            "test_custom_header",
            "Takes a value that modern clients repeat in a header.",
            CUSTOM_HEADER,
            async |_: &Call, arguments: serde_json::Value| Ok(arguments["value"].to_string()),
        ))
        .with_tool(
            Tool::new(
                "test_missing_capability",
                "Needs a client that can sample.",
                async |_: &Call, _: NoArguments| Ok("the client can sample"),
            )
            .with_required_capability(ClientCapability::Sampling),
        );
    let server = changing::add_to(tasks::add_to(elicitation::add_to(server)));
    basic::add_plain_tools(server).with_tool(Tool::new(
        "test_panic",
        "Panics, which ends this call and nothing else.",
        async |_: &Call, _: NoArguments| -> Result<String, CallError> {
            panic!("this tool panics on purpose")
        },
    ))
}

fn add_content(server: Server) -> Server {
    server
        .with_tool(Tool::new(
            "test_structured_content",
            "Gives an object to programs.",
            async |_: &Call, _: NoArguments| {
                Ok(Structured(Weather {
                    temperature: 22.5,
                    conditions: "clear",
                }))
            },
        ))
        .with_tool(Tool::new(
            "test_structured_array",
            "Gives an array to programs.",
            async |_: &Call, _: NoArguments| Ok(Structured([1, 2, 3])),
        ))
        .with_tool(Tool::new(
            "test_simple_text",
            "Gives text.",
            async |_: &Call, _: NoArguments| Ok("This is a simple text response for testing."),
        ))
        .with_tool(Tool::new(
            "test_image_content",
            "Gives a picture.",
            async |_: &Call, _: NoArguments| Ok(Content::image(PNG, "image/png")),
        ))
        .with_tool(Tool::new(
            "test_audio_content",
            "Gives sound.",
            async |_: &Call, _: NoArguments| Ok(Content::audio(WAV, "audio/wav")),
        ))
        .with_tool(Tool::new(
            "test_embedded_resource",
            "Gives a resource with its contents.",
            async |_: &Call, _: NoArguments| {
                Ok(resource(
                    "test://embedded-resource",
                    "text/plain",
                    "This is an embedded resource content.",
                ))
            },
        ))
        .with_tool(Tool::new(
            "test_multiple_content_types",
            "Gives text, a picture and a resource.",
            async |_: &Call, _: NoArguments| {
                Ok(vec![
                    Content::text("Multiple content types test:"),
                    Content::image(PNG, "image/png"),
                    resource(
                        "test://mixed-content-resource",
                        "application/json",
                        r#"{"test":"data","value":123}"#,
                    ),
                ])
            },
        ))
}

fn resource(uri: &'static str, mime_type: &'static str, text: &'static str) -> Content {
    Content::Resource {
        uri: uri.into(),
        mime_type: Some(mime_type.into()),
        contents: ResourceContents::Text(text.into()),
    }
}

fn add_behaviour(server: Server) -> Server {
    server
        .with_tool(Tool::new(
            "test_tool_with_logging",
            "Logs three messages.",
            logs,
        ))
        .with_tool(Tool::new(
            "test_tool_with_progress",
            "Reports progress.",
            reports_progress,
        ))
        .with_tool(Tool::new(
            "test_error_handling",
            "Fails.",
            async |_: &Call, _: NoArguments| {
                Ok(ToolResult::error(
                    "This tool intentionally returns an error for testing",
                ))
            },
        ))
        .with_tool(Tool::new(
            "test_reconnection",
            "Ends its stream before it is done, so that the client has to come back.",
            reconnects,
        ))
        .with_tool(Tool::new(
            "test_logging_tool",
            "Logs if the request wants logs.",
            async |call: &Call, _: NoArguments| {
                call.log(LogLevel::Info, None, &"a log message").await?;
                Ok("logged if wanted")
            },
        ))
}

/// Closes the stream of the client and finishes while the client is away.
async fn reconnects(call: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    call.close_stream(STEP).await;
    sleep(2 * STEP).await;
    Ok("finished while the client was away")
}

async fn logs(call: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    for text in [
        "Tool execution started",
        "Tool processing data",
        "Tool execution completed",
    ] {
        call.log(LogLevel::Info, None, &text).await?;
        sleep(STEP).await;
    }
    Ok("logged three messages")
}

async fn reports_progress(call: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    for progress in [0.0, 50.0, 100.0] {
        call.progress(progress).total(100.0).await;
        sleep(STEP).await;
    }
    Ok("reported progress three times")
}
