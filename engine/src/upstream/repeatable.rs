//! A request to a modern upstream that is made again with the answers of a legacy client.

use std::sync::Arc;

use corelane_gateway::relay::{Input, Replaced, TaskMode};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::logging::LogLevel;

use super::entry::{RelayedEntry, Route};
use super::port::{Bearer, NewRelay, UpstreamPort};
use crate::guard::subject::SubjectToken;
use crate::handler::call::relayed::ROUNDS_MAX;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct RepeatableRequest {
    upstream: u16,
    /// That of its endpoint when the call began.
    instance: u64,
    method: &'static str,
    /// The name or the URI that the upstream has for its entry.
    original: Box<str>,
    is_uri: bool,
    tool: Option<Arc<RelayedEntry>>,
    params: Box<[u8]>,
    /// Fields of the client that are passed on, as they are sent.
    forwarded: Box<[u8]>,
    capabilities: ClientCapabilities,
    log_level: Option<LogLevel>,
    has_progress: bool,
    is_repeatable: bool,
    /// Whether the capability for tasks is declared.
    declares_tasks: bool,
    /// The token of the client, if that is exchanged.
    subject: Option<SubjectToken>,
    /// The state of the upstream, if it gave one.
    state: Option<Box<[u8]>>,
    rounds: u8,
}

impl RepeatableRequest {
    /// The request of a call that goes this way, to this instance of its upstream. None if it has
    /// no name and no URI.
    pub(crate) fn of(
        new: &NewRelay<'_>,
        route: &Route<'_>,
        instance: u64,
    ) -> Option<RepeatableRequest> {
        let original = route.replaced.in_head()?;
        Some(RepeatableRequest {
            upstream: new.upstream,
            instance,
            method: new.method,
            original: original.into(),
            is_uri: matches!(route.replaced, Replaced::Uri(_)),
            tool: route.tool.cloned(),
            params: new.params.into(),
            forwarded: new.forwarded.into(),
            capabilities: new.capabilities,
            log_level: new.log_level,
            has_progress: new.has_progress,
            is_repeatable: new.is_repeatable,
            declares_tasks: new.task == TaskMode::Declared,
            subject: match new.bearer {
                Bearer::Client(subject) => subject.cloned(),
                Bearer::Server => None,
            },
            state: None,
            rounds: 0,
        })
    }

    /// Whether its upstream is still the one that the call began with: a reload may have given the
    /// number to another one.
    pub(crate) fn is_for(&self, port: &UpstreamPort) -> bool {
        port.instance(self.upstream) == Some(self.instance)
    }

    /// The upstream needs answers, and gave this state. Returns whether another round may begin.
    pub(crate) fn begin_round(&mut self, state: Option<Box<[u8]>>) -> bool {
        (self.state, self.rounds) = (state, self.rounds + 1);
        self.rounds <= ROUNDS_MAX
    }

    /// The request with these answers, an object as JSON, and the state to the byte.
    pub(crate) fn with<'a>(&'a self, responses: &'a [u8]) -> NewRelay<'a> {
        NewRelay {
            upstream: self.upstream,
            method: self.method,
            owner: None,
            replaced: Some(match self.is_uri {
                true => Replaced::Uri(&self.original),
                false => Replaced::Name(&self.original),
            }),
            params: &self.params,
            fixed: self.tool.as_ref().map(|it| &it.fixed),
            header_params: self.tool.as_ref().map_or(&[], |it| &it.header_params),
            input: Input {
                responses: Some(responses),
                state: self.state.as_deref(),
            },
            forwarded: &self.forwarded,
            capabilities: self.capabilities,
            log_level: self.log_level,
            has_progress: self.has_progress,
            is_repeatable: self.is_repeatable,
            task: match self.declares_tasks {
                true => TaskMode::Declared,
                false => TaskMode::None,
            },
            about: None,
            bearer: Bearer::Client(self.subject.as_ref()),
        }
    }
}
