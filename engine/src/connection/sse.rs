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
use super::client::Client;
use super::context::{Context, Rules};
use super::http::{Connection, Phase};
use super::posted::{PostedMessage, StreamId};
use super::preconditions::{self, NotServed, overload};
use super::reply::Reply;
use super::response;
use crate::access::Recheck;
use crate::guard::peer::KnownPeer;

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
        match served {
            Ok(()) => {}
            Err(NotServed::Denied(refusal)) => self.deny(&refusal, head.path, reply, context),
            Err(NotServed::Later(recheck)) => {
                let request = PostponedRequest::new(head, body);
                self.postpone(recheck, request, reply, context);
            }
            Err(NotServed::Refused(reason)) => {
                let field = reason.field();
                let mut text = Vec::new();
                let refused = context.endpoint.refuse(None, reason, &mut text);
                self.settle(refused, (reply, field), &text, context);
            }
            Err(NotServed::Document(_)) => unreachable!("documents have paths of their own"),
        }
    }

    /// Opens a stream, once the holder of an anonymous client is known.
    fn open_sse<'a>(
        &mut self,
        head: &RequestHead<'_>,
        reply: Reply,
        context: &mut Context<'_>,
    ) -> Result<(), NotServed<'a>> {
        if let Some(text) = overload(context) {
            return Err(Reason::Overloaded(text).into());
        }
        if context.is_draining {
            return Err(Reason::Draining.into());
        }
        if !reply.accept.event_stream {
            return Err(Reason::NotAcceptable("text/event-stream").into());
        }
        let client = self.client_of(head, context)?;
        if client.identity.is_none() && context.peer.is_none() {
            return Err(NotServed::Later(Recheck::PeerKnown));
        }
        let Some(paths) = &context.rules.http_settings.sse else {
            return Err(Reason::Path("").into());
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
        context.meter.open_stream();
        context.identify(client);
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
    ) -> Result<(), NotServed<'a>> {
        let client = self.client_of(head, context)?;
        if !accept::is_json(head.content_type) {
            return Err(Reason::ContentType.into());
        }
        if head.is_encoded {
            return Err(Reason::ContentEncoding.into());
        }
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
            principal: client.identity.map(|it| it.principal_key().into()),
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

    /// The client of a request, for longer than the request.
    fn client_of<'a>(
        &self,
        head: &RequestHead<'_>,
        context: &mut Context<'_>,
    ) -> Result<KnownPeer, NotServed<'a>> {
        let has_waited = context.has_waited();
        let known = self.known_peer(context.peers, context.access, context.key);
        let client = Client::of(head, known, context);
        let of = client.with_source(known);
        let identity = preconditions::identify(context.access, head, of, has_waited)?;
        Ok(KnownPeer {
            identity,
            ..client.into_peer(head.path)
        })
    }
}
