//! What the MCP conformance suite asks for by name, with the answers it expects.

mod changing;
mod elicitation;
mod prompts;
mod resources;
mod tasks;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use corelane::{
    Call, CallError, ClientCapability, Content, LogLevel, ResourceContents, Server, Structured,
    Tool, ToolResult, sleep,
};

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

#[derive(Serialize, JsonSchema)]
struct Weather {
    /// In degrees Celsius.
    temperature: f64,
    /// What the sky looks like.
    conditions: &'static str,
}

/// Between two messages of one call, so that a client can see that they are apart.
const STEP: Duration = Duration::from_millis(50);

/// A PNG of one pixel.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0xfc, 0xcf, 0xc0, 0x50, 0x0f, 0, 4, 0x85, 1, 0x80, 0x84, 0xa9, 0x8c, 0x21, 0,
    0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

/// A WAV of no samples.
const WAV: &[u8] = &[
    b'R', b'I', b'F', b'F', 0x24, 0, 0, 0, b'W', b'A', b'V', b'E', b'f', b'm', b't', b' ', 0x10, 0,
    0, 0, 1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0, b'd', b'a', b't', b'a', 0, 0,
    0, 0,
];

const JSON_SCHEMA_2020_12: &str = include_str!("json_schema_2020_12.json");

const CUSTOM_HEADER: &str = include_str!("custom_header.json");

pub(super) fn add_to(server: Server) -> Server {
    let server = prompts::add_to(resources::add_to(add_content(server)));
    let server = add_behaviour(server)
        .with_tool(Tool::with_schema(
            "json_schema_2020_12_tool",
            "Has a schema with keywords of JSON Schema 2020-12.",
            JSON_SCHEMA_2020_12,
            async |_: &Call, arguments: serde_json::Value| Ok(format!("called with {arguments}")),
        ))
        .with_tool(Tool::with_schema(
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
            .requires(ClientCapability::Sampling),
        );
    changing::add_to(tasks::add_to(elicitation::add_to(server)))
}

fn add_content(server: Server) -> Server {
    server
        .tool(
            "test_structured_content",
            "Gives an object to programs.",
            async |_: &Call, _: NoArguments| {
                Ok(Structured(Weather {
                    temperature: 22.5,
                    conditions: "clear",
                }))
            },
        )
        .tool(
            "test_structured_array",
            "Gives an array to programs.",
            async |_: &Call, _: NoArguments| Ok(Structured([1, 2, 3])),
        )
        .tool(
            "test_simple_text",
            "Gives text.",
            async |_: &Call, _: NoArguments| Ok("This is a simple text response for testing."),
        )
        .tool(
            "test_image_content",
            "Gives a picture.",
            async |_: &Call, _: NoArguments| Ok(Content::image(PNG, "image/png")),
        )
        .tool(
            "test_audio_content",
            "Gives sound.",
            async |_: &Call, _: NoArguments| Ok(Content::audio(WAV, "audio/wav")),
        )
        .tool(
            "test_embedded_resource",
            "Gives a resource with its contents.",
            async |_: &Call, _: NoArguments| {
                Ok(resource(
                    "test://embedded-resource",
                    "text/plain",
                    "This is an embedded resource content.",
                ))
            },
        )
        .tool(
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
        )
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
        .tool("test_tool_with_logging", "Logs three messages.", logs)
        .tool(
            "test_tool_with_progress",
            "Reports progress.",
            reports_progress,
        )
        .tool(
            "test_error_handling",
            "Fails.",
            async |_: &Call, _: NoArguments| {
                Ok(ToolResult::error(
                    "This tool intentionally returns an error for testing",
                ))
            },
        )
        .tool(
            "test_reconnection",
            "Ends its stream before it is done, so that the client has to come back.",
            reconnects,
        )
        .tool(
            "test_logging_tool",
            "Logs if the request wants logs.",
            async |call: &Call, _: NoArguments| {
                call.log(LogLevel::Info, None, &"a log message").await?;
                Ok("logged if wanted")
            },
        )
}

/// Sends the client away and is done while it is.
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
