//! Resources that the MCP conformance suite reads and watches.

use super::samples::PNG;
use corelane::{Call, CompleteRequest, ReadRequest, Resource, ResourceTemplate, Server};

pub(super) fn add_to(server: Server) -> Server {
    server
        .with_resource(
            Resource::fixed(
                "test://static-text",
                "static-text",
                "text/plain",
                "This is the content of the static text resource.",
            )
            .with_description("Text that never changes."),
        )
        .with_resource(
            Resource::fixed("test://static-binary", "static-binary", "image/png", PNG)
                .with_description("A picture that never changes.")
                .with_size_bytes(PNG.len() as u64),
        )
        .with_resource(
            Resource::fixed(
                "test://watched-resource",
                "watched-resource",
                "text/plain",
                "Somebody may watch this.",
            )
            .with_description("Something to subscribe to."),
        )
        .with_template(
            ResourceTemplate::new(
                "test://template/{id}/data",
                "template",
                "application/json",
                async |_: &Call, request: ReadRequest| {
                    let id = request.variable("id").unwrap_or_default();
                    let value = serde_json::json!({
                        "id": id, "templateTest": true, "data": format!("Data for ID: {id}"),
                    });
                    Ok(value.to_string())
                },
            )
            .with_description("Data for any id.")
            .with_completer("id", async |_: &Call, request: CompleteRequest| {
                Ok(request.starting(&["123", "456", "789"]))
            }),
        )
}
