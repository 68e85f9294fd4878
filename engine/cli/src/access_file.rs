//! The access file of a server, as commands read it.

use std::path::Path;

use corelane::Profile;
use corelane::profile::Binding;
use corelane_control::config::{Config, ConfigError, Limits, ServerFacts};

/// The facts of a server with this profile that its access file depends on.
pub(crate) fn facts(profile: &Profile) -> ServerFacts {
    ServerFacts {
        endpoint_paths: profile.server.endpoint.as_slice().to_vec(),
        loopback_origin: loopback_origin(profile),
        has_client_certificates: !profile.tls.client_ca_files.is_empty(),
        limits: Limits::from(&profile.auth),
    }
}

/// Reads the access file of a server with these facts.
///
/// # Errors
/// All of its faults.
pub(crate) fn read(path: &Path, facts: &ServerFacts) -> Result<Config, ConfigError> {
    Config::read(path, facts, &mut Vec::new())
}

/// The origin of the first address of HTTP on loopback.
fn loopback_origin(profile: &Profile) -> Option<String> {
    let mut addresses = profile.server.listen.iter();
    addresses.find_map(|address| {
        let socket = address.socket_addr()?;
        let is_it = address.binding == Binding::Http && socket.ip().to_canonical().is_loopback();
        let scheme = if address.tls { "https" } else { "http" };
        is_it.then(|| format!("{scheme}://{socket}"))
    })
}
