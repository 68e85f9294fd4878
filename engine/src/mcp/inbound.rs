//! A message on its way in: its requester, where its answer goes, and work done ahead for it.

use std::sync::Arc;

use corelane_protocol::jsonrpc::Value;
use corelane_protocol::mcp::trace_context::TraceContext;
use corelane_protocol::request_state;

use super::ahead::Ahead;
use super::exchange::Exchange;
use super::requester::Requester;
use super::session_id::SessionId;
use crate::handler::runner::Arguments;

/// The context of a message, independent of its contents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inbound<'a> {
    /// The client that sent the message.
    pub(crate) requester: &'a Requester<'a>,
    /// The place of the answer, and its abilities.
    pub(crate) exchange: Exchange,
    /// The channel that the message came on, on a transport that has one.
    pub(super) channel: Option<Channel<'a>>,
    /// Work done ahead for a large message.
    ahead: Option<&'a Ahead>,
    /// The text of the message, as far as it is known: that of a batch is not.
    text: Option<&'a [u8]>,
    /// The span of the HTTP request that a forwarded message came with.
    forwarded_trace: Option<&'a TraceContext>,
}

/// A connection on which all messages of both sides share one channel, such as standard input and
/// output: its session is its own, and a request is cancelled by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel<'a> {
    /// The session of the connection, once a client has made it.
    pub(crate) session: Option<SessionId>,
    /// Why no further request is taken now, if so.
    pub(crate) overload: Option<&'a str>,
    /// The transport is older than the modern era: requests of that era are refused.
    pub(crate) is_legacy: bool,
}

/// What is known of a forwarded message beside its document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'a> {
    pub(super) ahead: Option<&'a Ahead>,
    pub(super) text: Option<&'a [u8]>,
}

impl<'a> Inbound<'a> {
    /// A message of `requester` whose answer goes to `exchange`.
    pub(crate) fn new(requester: &'a Requester<'a>, exchange: Exchange) -> Inbound<'a> {
        Inbound {
            requester,
            exchange,
            channel: None,
            ahead: None,
            text: None,
            forwarded_trace: None,
        }
    }

    /// The same on a channel.
    pub(crate) fn on_channel(self, channel: Channel<'a>) -> Inbound<'a> {
        Inbound {
            channel: Some(channel),
            ..self
        }
    }

    /// The same with work that was done ahead.
    pub(super) fn with_ahead(self, ahead: Option<&'a Ahead>) -> Inbound<'a> {
        Inbound { ahead, ..self }
    }

    /// The same with work that was done ahead, and the text.
    pub(super) fn with(self, beside: Beside<'a>) -> Inbound<'a> {
        let Beside { ahead, text } = beside;
        Inbound {
            ahead,
            text,
            ..self
        }
    }

    /// The same with the text of the message.
    pub(super) fn with_text(self, text: Option<&'a [u8]>) -> Inbound<'a> {
        Inbound { text, ..self }
    }

    /// The same, forwarded, with the span of its HTTP request.
    pub(super) fn with_trace(self, forwarded_trace: Option<&'a TraceContext>) -> Inbound<'a> {
        Inbound {
            forwarded_trace,
            ..self
        }
    }

    /// The span of the HTTP request that a forwarded message came with.
    pub(super) fn forwarded_trace(&self) -> Option<TraceContext> {
        self.forwarded_trace.copied()
    }

    /// The text of the message, if it is known.
    pub(super) fn text(&self) -> Option<&'a [u8]> {
        self.text
    }

    /// The principal of the requester; an anonymous client has none.
    pub(super) fn principal(&self) -> Option<&'a str> {
        self.requester.principal()
    }

    /// The arguments `given` to the tool or prompt `parts`, checked with `check` unless that was
    /// done ahead.
    ///
    /// # Errors
    /// Why they do not fit.
    #[inline]
    pub(super) fn check_arguments<'v, P>(
        &self,
        parts: &Arc<P>,
        given: Value<'v>,
        check: impl FnOnce(&P, Value<'v>) -> Result<(), String>,
    ) -> Result<Arguments<'v>, String> {
        let ahead = self.ahead.and_then(|it| it.take_arguments(parts, given));
        match ahead {
            Some(checked) => checked,
            None => check(parts, given).map(|()| Arguments::Sent(given)),
        }
    }

    /// A copy of a value of the message.
    pub(super) fn copy(&self, value: Value<'_>) -> serde_json::Value {
        let ahead = self.ahead.and_then(|it| it.take_copy(value));
        ahead.unwrap_or_else(|| value.to_serde())
    }

    /// The digest of the params of a request.
    pub(super) fn params_digest(&self, params: Option<Value<'_>>) -> [u8; 32] {
        let params = params.unwrap_or(Value::EMPTY_OBJECT);
        let ahead = self.ahead.and_then(|it| it.digest(params));
        ahead.unwrap_or_else(|| request_state::params_digest(params))
    }
}
