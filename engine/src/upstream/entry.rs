//! An entry of the catalog that an upstream has: it handles the requests.

use std::sync::Arc;

use corelane_gateway::relay::Replaced;
use corelane_protocol::binding::header_param::HeaderParam;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::tasks::TaskSupport;
use corelane_protocol::mcp::tools::write_execution;
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
    /// Whether it is a tool whose calls can become tasks.
    pub(crate) task_support: Option<TaskSupport>,
    /// The definition, as clients see it.
    pub(crate) listed: Box<str>,
    /// The same for clients of the legacy era, if it differs.
    pub(crate) listed_legacy: Option<Box<str>>,
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
    /// Appends the definition, as clients of `revision` see it.
    pub(crate) fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        let legacy = self.listed_legacy.as_ref();
        let legacy = legacy.filter(|_| revision.era() == Era::Legacy);
        let listed = legacy.unwrap_or(&self.listed);
        match self.task_support.filter(|_| revision.has_tasks()) {
            None => out.extend_from_slice(listed.as_bytes()),
            Some(support) => {
                // It is an object with a name at least.
                let members = listed.strip_suffix('}').unwrap_or(listed);
                out.extend_from_slice(members.as_bytes());
                write_execution(out, support);
                out.push(b'}');
            }
        }
    }

    /// Whether clients see both in one form.
    pub(crate) fn is_listed_as(&self, other: &RelayedEntry) -> bool {
        self.listed == other.listed
            && self.listed_legacy == other.listed_legacy
            && self.task_support == other.task_support
    }

    /// The way of a call of the tool that it is.
    pub(crate) fn route(self: &Arc<Self>) -> Route<'_> {
        Route {
            upstream: self.upstream,
            replaced: Replaced::Name(&self.original),
            tool: Some(self),
        }
    }
}
