//! A change on the server.

use serde_json::Value;

/// A change on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The list of tools changed.
    Tools,
    /// The list of prompts changed.
    Prompts,
    /// The list of resources changed.
    Resources,
    /// The resource with this URI changed.
    Resource(String),
    /// Changes may have been missed: list and read again.
    Gap,
}

impl Change {
    pub(crate) fn read(method: &str, params: &Value) -> Option<Change> {
        Some(match method {
            "notifications/tools/list_changed" => Change::Tools,
            "notifications/prompts/list_changed" => Change::Prompts,
            "notifications/resources/list_changed" => Change::Resources,
            "notifications/resources/updated" => {
                Change::Resource(params.get("uri")?.as_str()?.to_owned())
            }
            _ => return None,
        })
    }
}
