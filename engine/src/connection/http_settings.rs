//! The settings of the operator about HTTP.

use crate::profile::Server;

/// Settings of the operator about HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    /// Paths of the endpoint, at least one.
    pub(crate) endpoint_paths: Vec<String>,
    /// Probes are answered.
    pub(crate) has_probes: bool,
    /// Pages may send cookies and other credentials of their browser.
    pub(crate) allows_credentials: bool,
    /// How long a browser may keep the answer to a preflight, in seconds.
    pub(crate) preflight_max_age_s: u32,
}

impl HttpSettings {
    /// The settings of a profile.
    pub(crate) fn of(server: &Server) -> HttpSettings {
        HttpSettings {
            endpoint_paths: server.endpoint.as_slice().to_vec(),
            has_probes: server.probes,
            allows_credentials: server.allow_credentials,
            preflight_max_age_s: server.preflight_max_age_s,
        }
    }
}
