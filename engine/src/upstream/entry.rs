//! An entry of the catalog that an upstream has: it handles the requests.

use corelane_protocol::binding::header_param::HeaderParam;
use serde_json::Map;

/// The way from an entry to its upstream. Its definition goes to clients as it was listed, so the
/// text of unknown members and of large numbers stays.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RelayedEntry {
    /// The number of the upstream, in the order of the configuration.
    pub(crate) upstream: u16,
    /// The name, the URI or the template that the upstream has for it.
    pub(crate) original: Box<str>,
    /// Whether the upstream suggests values for arguments.
    pub(crate) has_completions: bool,
    /// Arguments that clients do not choose.
    pub(crate) fixed: Map<String, serde_json::Value>,
    /// Arguments that modern requests repeat in their heads.
    pub(crate) header_params: Vec<HeaderParam>,
    /// The definition, as clients see it.
    pub(crate) listed: Box<str>,
}
