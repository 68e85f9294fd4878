//! HTTP+SSE, the transport of revision 2024-11-05, for clients that have no other (MCP 2024-11-05
//! basic/transports, "HTTP with SSE").
//!
//! GET opens a stream, and its first event names the URI for POSTs. Each POST brings one message
//! and gets 202; the answer to the message comes on the stream. So the stream is a channel whose
//! input comes on other connections, perhaps of other shards. Its session ends with it.
//!
//! Invariant: a message reaches only the stream whose URI its client knows, and only of the same
//! principal. It lacks the modern era and the resumption of streams, which this transport never
//! had.

use std::collections::VecDeque;

use corelane_protocol::binding::accept;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{Method, RequestHead};

use super::body::PostponedRequest;
use super::buffers::Work;
use super::channel::{Framing, MessageChannel, Outgoing};
use super::context::{Context, Rules};
use super::http::{Connection, Phase};
use super::posted::{PostedMessage, StreamId};
use super::preconditions::{overload, principal_of};
use super::reply::Reply;
use super::response;
use crate::guard::peer::KnownPeer;
use crate::meter::Counter;

/// Name of the parameter of the URI for POSTs.
const ID_PARAMETER: &str = "sessionId";

/// A request of HTTP+SSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SseRequest {
    /// GET: a stream is opened.
    Open,
    /// POST: a message for a stream.
    Post,
}

impl SseRequest {
    /// The request of a head, if its target is of this transport; an error for another verb.
    pub(super) fn of<'a>(
        head: &RequestHead<'_>,
        rules: &Rules,
    ) -> Result<Option<SseRequest>, Reason<'a>> {
        let Some(paths) = &rules.http_settings.sse else {
            return Ok(None);
        };
        let (request, verb, allow) = match head.path {
            path if path == paths.stream => (SseRequest::Open, Method::Get, "GET, OPTIONS"),
            path if path == paths.messages => (SseRequest::Post, Method::Post, "POST, OPTIONS"),
            _ => return Ok(None),
        };
        match head.method == verb {
            true => Ok(Some(request)),
            false => Err(Reason::Verb(allow)),
        }
    }
}

impl Connection {
    /// Answers a request of HTTP+SSE, now or later.
    #[cold]
    pub(super) fn answer_sse(
        &mut self,
        request: SseRequest,
        (head, body): (&RequestHead<'_>, &[u8]),
        reply: Reply,
        context: &mut Context<'_>,
    ) {
        let served = match request {
            SseRequest::Open => self.open_sse(head, reply, context),
            SseRequest::Post => self.post_sse((head, body), reply, context),
        };
        if let Err(reason) = served {
            let field = reason.field();
            let mut text = Vec::new();
            let refused = context.endpoint.refuse(None, reason, &mut text);
            self.settle(refused, (reply, field), &text, context);
        }
    }

    /// Opens a stream, once the holder of an anonymous client is known.
    fn open_sse<'a>(
        &mut self,
        head: &RequestHead<'_>,
        reply: Reply,
        context: &mut Context<'_>,
    ) -> Result<(), Reason<'a>> {
        if let Some(text) = overload(context) {
            return Err(Reason::Overloaded(text));
        }
        if context.is_draining {
            return Err(Reason::Draining);
        }
        if !reply.accept.event_stream {
            return Err(Reason::NotAcceptable("text/event-stream"));
        }
        let principal = self.principal_name(head, context)?;
        if principal.is_none() && context.peer.is_none() {
            let request = PostponedRequest::new(head, &[]);
            context.effects.postponed.push((context.key, request));
            self.wait(reply, context).is_post = false;
            return Ok(());
        }
        let Some(paths) = &context.rules.http_settings.sse else {
            return Err(Reason::Path(""));
        };
        let mut random = [0; size_of::<u128>()];
        getrandom::fill(&mut random).map_err(|_| Reason::Overloaded("no random bits"))?;
        let id = StreamId {
            shard: context.shard,
            slot: context.key,
            random: u128::from_ne_bytes(random),
        };
        let uri = format!("{}?{ID_PARAMETER}={}", paths.messages, id.to_text());
        let fields = context.head_fields();
        response::write_stream_head(context.out(), &reply, fields);
        response::write_endpoint(context.out(), &reply, &uri);
        context.meter.count(Counter::StreamsOpen);
        context.identify(KnownPeer::new(principal.as_deref(), context.peer));
        let channel = MessageChannel::new(Framing::Events(Box::new(Outgoing {
            reply,
            random: id.random,
            held: VecDeque::new(),
        })));
        self.drop_input(context);
        self.buffers(context).work = Work::Channel(channel);
        self.phase = Phase::ReadingMessage;
        Ok(())
    }

    /// Sends a message to its stream; the POST waits for its status.
    fn post_sse<'a>(
        &mut self,
        (head, body): (&RequestHead<'_>, &[u8]),
        reply: Reply,
        context: &mut Context<'_>,
    ) -> Result<(), Reason<'a>> {
        if !accept::is_json(head.content_type) {
            return Err(Reason::ContentType);
        }
        if head.is_encoded {
            return Err(Reason::ContentEncoding);
        }
        let principal = self.principal_name(head, context)?;
        let parameters = head.query.unwrap_or_default().split('&');
        let mut named = parameters.filter_map(|parameter| parameter.split_once('='));
        let id = named.find(|(name, _)| *name == ID_PARAMETER);
        let stream = id.and_then(|(_, id)| StreamId::parse(id));
        let stream = stream.ok_or(Reason::SessionUnknown)?;
        let body = context.endpoint.body_for_channel(body);
        let body = body.ok_or(Reason::Overloaded(
            "too many bytes are on their way to streams",
        ))?;
        context.effects.posts.push(PostedMessage {
            exchange: context.exchange(self.sequence, reply.accept.event_stream),
            stream,
            principal,
            body,
        });
        let waiting = self.wait(reply, context);
        waiting.is_post = false;
        waiting.home = Some(stream.shard);
        Ok(())
    }

    /// Keeps a message until the client has read more of its stream.
    ///
    /// # Errors
    /// As many are kept as requests may be in flight: it comes back.
    pub(crate) fn hold_post(
        &mut self,
        post: PostedMessage,
        held_max: usize,
    ) -> Result<(), PostedMessage> {
        match self.channel_mut().and_then(MessageChannel::held_mut) {
            Some(held) if held.len() < held_max => {
                held.push_back(post);
                Ok(())
            }
            _ => Err(post),
        }
    }

    /// Whether messages wait.
    pub(crate) fn holds_posts(&self) -> bool {
        let outgoing = self.channel().and_then(MessageChannel::outgoing);
        outgoing.is_some_and(|outgoing| !outgoing.held.is_empty())
    }

    /// The next message that has waited.
    pub(crate) fn next_post(&mut self) -> Option<PostedMessage> {
        self.channel_mut()?.held_mut()?.pop_front()
    }

    /// Whether this is the stream of HTTP+SSE with these random bits.
    pub(crate) fn is_stream_of(&self, random: u128) -> bool {
        let outgoing = self.outgoing();
        outgoing.is_some_and(|outgoing| outgoing.random == random)
    }

    /// The principal of a request, for longer than the request.
    fn principal_name<'a>(
        &self,
        head: &RequestHead<'_>,
        context: &Context<'_>,
    ) -> Result<Option<Box<str>>, Reason<'a>> {
        let known = self.source.peer_in(context.peers, context.key);
        let principal = principal_of(head, context.rules, known);
        let principal = principal.map_err(|reason| Reason::Principal(reason.to_string()))?;
        Ok(principal.map(Box::from))
    }
}
