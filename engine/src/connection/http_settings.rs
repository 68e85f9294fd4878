//! The settings of the operator about HTTP.

use crate::profile::{Server, messages_path};

/// Settings of the operator about HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    /// Paths of the endpoint, at least one.
    pub(crate) endpoint_paths: Vec<String>,
    /// A target with a query, or a slash more or less, is another path.
    pub(crate) exact_endpoint: bool,
    /// Paths of HTTP+SSE, if it is served.
    pub(crate) sse: Option<SsePaths>,
    /// Probes are answered.
    pub(crate) has_probes: bool,
    /// Pages may send cookies and other credentials of their browser.
    pub(crate) allows_credentials: bool,
    /// How long a browser may keep the answer to a preflight, in seconds.
    pub(crate) preflight_max_age_s: u32,
}

/// Paths of HTTP+SSE.
#[derive(Debug, Clone)]
pub(crate) struct SsePaths {
    /// Of the streams.
    pub(crate) stream: String,
    /// Of the messages, beside it.
    pub(crate) messages: String,
}

impl SsePaths {
    fn of(stream: &str) -> SsePaths {
        SsePaths {
            stream: stream.to_owned(),
            messages: messages_path(stream),
        }
    }
}

impl HttpSettings {
    /// The settings of a profile.
    pub(crate) fn of(server: &Server) -> HttpSettings {
        HttpSettings {
            endpoint_paths: server.endpoint.as_slice().to_vec(),
            exact_endpoint: server.exact_endpoint,
            sse: server.sse_endpoint.as_deref().map(SsePaths::of),
            has_probes: server.probes,
            allows_credentials: server.allow_credentials,
            preflight_max_age_s: server.preflight_max_age_s,
        }
    }
}
