//! Upstreams that were checked, and their part in the server that starts with them.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use corelane_gateway::config::Upstream;
use corelane_protocol::mcp::lifecycle::Feature;

use super::credential::Source;
use super::endpoint::{Place, Served, check};
use super::secret::secret;
use crate::catalog::Entries;
use crate::mcp::ServerParts;
use crate::profile::LinkShare;
use crate::server::error::Result;
use crate::server::upstream_error::UpstreamError;

/// An upstream that was checked.
#[derive(Clone)]
pub(in crate::server) struct ServedUpstream {
    pub(super) upstream: Upstream,
    /// At least one.
    pub(super) replicas: Vec<Served>,
    /// Where its credential comes from, if it has one.
    pub(super) credential: Option<Source>,
    /// Differs for other contents of its files with certificates.
    pub(super) files: u64,
}

/// Checks an upstream that is served besides `others`.
///
/// # Errors
/// Its configuration needs something that is not supported, or another one has its name.
pub(in crate::server) fn check_upstream(
    upstream: Upstream,
    others: &[ServedUpstream],
) -> Result<ServedUpstream> {
    if others
        .iter()
        .any(|other| other.upstream.name == upstream.name)
    {
        let name = upstream.name.to_string();
        return Err(UpstreamError::Twice { name }.into());
    }
    Ok(ServedUpstream {
        files: files_of(&upstream),
        replicas: check(&upstream)?,
        credential: Source::of(&upstream)?,
        upstream,
    })
}

/// Checks that there is a launcher, if a program needs one.
///
/// # Errors
/// There is none.
pub(in crate::server) fn check_launcher(
    upstreams: &[ServedUpstream],
    has_launcher: bool,
) -> Result<()> {
    if has_launcher {
        return Ok(());
    }
    for served in upstreams {
        let name = &*served.upstream.name;
        for (place, _) in &served.replicas {
            match place {
                Place::Program(program) if program.has_limits() => {
                    let name = name.to_owned();
                    return Err(UpstreamError::Launcher { name }.into());
                }
                Place::Program(_) => tracing::info!(
                    upstream = name,
                    "its program may outlive a server that is killed: there is no launcher"
                ),
                Place::Host(..) | Place::Unix(_) => {}
            }
        }
    }
    Ok(())
}

/// How many of them have to be read before the server is ready.
pub(in crate::server) fn required_of(upstreams: &[ServedUpstream]) -> usize {
    upstreams
        .iter()
        .filter(|it| it.upstream.is_required)
        .count()
}

/// A number that differs for other contents of the files with certificates, and of the secret with
/// which tokens are requested. Other secrets are compared where they are used.
fn files_of(upstream: &Upstream) -> u64 {
    let mut hasher = DefaultHasher::new();
    let certificate = upstream.client_certificate.iter();
    let certificate = certificate.flat_map(|it| [&it.certificate_file, &it.key_file]);
    for path in upstream.ca_files.iter().chain(certificate) {
        // One that cannot be read was refused before.
        fs::read(path).unwrap_or_default().hash(&mut hasher);
    }
    let credential = upstream.credential.as_ref();
    if let Some(credential) = credential.filter(|it| it.account().is_some()) {
        for value in credential.secrets() {
            secret(value).unwrap_or_default().hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Declares the features that upstreams may have, and their schemes. A client sees the same
/// capabilities before they are read, and while they are down.
pub(in crate::server) fn declare(upstreams: &[ServedUpstream], entries: &mut Entries) {
    if upstreams.is_empty() {
        return;
    }
    for feature in [Feature::Prompts, Feature::Resources, Feature::Completions] {
        entries.offer.insert(feature);
    }
    for (number, served) in (0..).zip(upstreams) {
        let schemes = served.upstream.own_schemes();
        entries
            .schemes
            .extend(schemes.map(|scheme| (number, scheme)));
    }
}

/// The share of the sockets that links to upstreams have.
pub(in crate::server) fn links_of(parts: &ServerParts, (_, all): &FixedAndAll) -> LinkShare {
    match (&parts.upstreams, all.is_empty()) {
        (None, _) => LinkShare::None,
        (Some(_), true) => LinkShare::Spare,
        (Some(_), false) => LinkShare::Half,
    }
}

/// The fields of clients that are passed on to an upstream, in lower case.
pub(in crate::server) fn forwarded(upstreams: &[ServedUpstream]) -> impl Iterator<Item = &str> {
    let fields = upstreams
        .iter()
        .flat_map(|it| &it.upstream.forwarded_headers);
    fields.map(|field| &**field)
}

/// The upstreams of the program, which a reload keeps, and all with which the server starts.
pub(in crate::server) type FixedAndAll = (Vec<ServedUpstream>, Vec<ServedUpstream>);
