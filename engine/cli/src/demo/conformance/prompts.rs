//! Prompts that the MCP conformance suite gets.

use schemars::JsonSchema;
use serde::Deserialize;

use super::samples::{NoArguments, PNG};
use corelane::{Call, CompleteRequest, Content, Prompt, PromptMessage, ResourceContents, Server};

#[derive(Deserialize, JsonSchema)]
struct TwoArguments {
    /// The first of two.
    arg1: String,
    /// The second of two.
    arg2: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ResourceArgument {
    /// The resource to put into the prompt.
    resource_uri: String,
}

pub(super) fn add_to(server: Server) -> Server {
    server
        .with_prompt(Prompt::new(
            "test_simple_prompt",
            "Says something simple.",
            async |_: &Call, _: NoArguments| Ok("This is a simple prompt for testing."),
        ))
        .with_prompt(
            Prompt::new(
                "test_prompt_with_arguments",
                "Says what it is given.",
                async |_: &Call, TwoArguments { arg1, arg2 }| {
                    Ok(format!(
                        "Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"
                    ))
                },
            )
            .with_completer("arg1", async |_: &Call, request: CompleteRequest| {
                Ok(request.starting(&["test", "testing", "tested"]))
            }),
        )
        .with_prompt(Prompt::new(
            "test_prompt_with_embedded_resource",
            "Shows a resource.",
            async |_: &Call, ResourceArgument { resource_uri }| {
                let shown = Content::Resource {
                    uri: resource_uri.into(),
                    mime_type: Some("text/plain".into()),
                    contents: ResourceContents::Text("Embedded resource content.".into()),
                };
                Ok(vec![
                    PromptMessage::user(shown),
                    PromptMessage::user("Please process the embedded resource above."),
                ])
            },
        ))
        .with_prompt(Prompt::new(
            "test_prompt_with_image",
            "Shows a picture.",
            async |_: &Call, _: NoArguments| {
                Ok(vec![
                    PromptMessage::user(Content::image(PNG, "image/png")),
                    PromptMessage::user("Please analyze the image above."),
                ])
            },
        ))
}
