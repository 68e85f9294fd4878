//! An entry of the catalog that an upstream has: it handles the requests.

use std::sync::Arc;

use corelane_gateway::relay::Replaced;
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
    /// Whether it is a tool whose calls may be made twice, as its upstream says and is trusted.
    pub(crate) is_repeatable: bool,
    /// The definition, as clients see it.
    pub(crate) listed: Box<str>,
}

/// The way of a request to its upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'a> {
    /// The number of the upstream.
    pub(crate) upstream: u16,
    /// The member by which the upstream finds its entry.
    pub(crate) replaced: Replaced<'a>,
    /// The tool, if it is one: its arguments are changed, and repeated in the head.
    pub(crate) tool: Option<&'a Arc<RelayedEntry>>,
}

impl<'a> Route<'a> {
    /// The way of a request with arguments that go through as they are.
    pub(crate) fn to(upstream: u16, replaced: Replaced<'a>) -> Route<'a> {
        Route {
            upstream,
            replaced,
            tool: None,
        }
    }
}

impl RelayedEntry {
    /// The way of a call of the tool that it is.
    pub(crate) fn route(self: &Arc<Self>) -> Route<'_> {
        Route {
            upstream: self.upstream,
            replaced: Replaced::Name(&self.original),
            tool: Some(self),
        }
    }
}
