//! The progress of a call.

use serde_json::Value;

/// The progress of a call.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// How far the call is; it grows.
    pub progress: f64,
    /// Where it ends, if the server knows.
    pub total: Option<f64>,
    /// A text for people.
    pub message: Option<String>,
}

impl Progress {
    pub(crate) fn read(params: &Value) -> Progress {
        let message = params.get("message").and_then(Value::as_str);
        Progress {
            progress: params
                .get("progress")
                .and_then(Value::as_f64)
                .unwrap_or_default(),
            total: params.get("total").and_then(Value::as_f64),
            message: message.map(str::to_owned),
        }
    }
}
