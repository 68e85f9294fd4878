//! One whole request: checked, handled, and answered at once or later.

use std::sync::Arc;

use corelane_io::slots::SlotKey;
use corelane_protocol::binding::accept::{self, Accept};
use corelane_protocol::binding::claims::Claims;
use corelane_protocol::binding::http::{self, Route};
use corelane_protocol::binding::refusal::{Category, Reason};
use corelane_protocol::framing::http1::{Field, Method, RequestHead, Status};

use super::body::{KeptRequest, PostponedRequest, RequestBody};
use super::buffers::WaitingRequest;
use super::client::Client;
use super::context::{Context, Rules};
use super::http::{Connection, Phase};
use super::http_settings::HttpSettings;
use super::plain::{self, Plain, probe_of};
use super::preconditions::{self, NotServed, overload};
use super::probe::PROBE_VERBS;
use super::reply::{Reply, StartTime};
use super::response::{self, Extra};
use super::source::Source;
use crate::access::{self, AccessControl, Recheck};
use crate::guard::identity::Identity;
use crate::guard::origin::OriginRefusal;
use crate::guard::peer::{KnownPeer, KnownPeers};
use crate::guard::refusal::Refusal;
use crate::mcp::{Disposition, Endpoint, Inbound, Requester, StreamOwner};
use crate::meter::Counter;
use crate::profile::Binding;

/// The least time between two warnings of a shard about requests that were refused for their host
/// or origin, in milliseconds: an operator sees within a minute why a proxy or a page is refused.
pub(crate) const REFUSAL_WARNING_INTERVAL_MS: u64 = 60_000;

impl Connection {
    /// Handles a request. If its body must be decoded elsewhere first, returns the form of its
    /// answer.
    pub(super) fn request(
        &mut self,
        head: &RequestHead<'_>,
        body: &[u8],
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        self.sequence = self.sequence.wrapping_add(1);
        let accept = Accept::read(head.accept);
        // A stream to HTTP/1.0 ends with its connection.
        let may_go_on = head.version_minor >= 1 || accept.json;
        let reply = Reply {
            keep_alive: head.keep_alive
                && may_go_on
                && !context.is_draining
                && !context.is_for_probes,
            method: head.method,
            is_tls: self.source.is_tls(),
            version_minor: head.version_minor,
            accept,
            page: None,
            started: StartTime::of(context.meter.turn_us()),
        };
        self.answer(head, RequestBody::Bytes(body), reply, context)
    }

    /// Answers a request, or keeps it until its answer is ready. If its body must be decoded
    /// elsewhere first, returns the form of its answer.
    pub(super) fn answer(
        &mut self,
        head: &RequestHead<'_>,
        body: RequestBody<'_>,
        mut reply: Reply,
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        let bytes = body.bytes();
        if !reply.keep_alive {
            // A peer that expected the connection to stay open may have sent more already.
            self.phase = Phase::Flushing {
                lingers: context.is_draining,
            };
        }
        let known = self.known_peer(context.peers, context.access, context.key);
        let client = Client::of(head, known, context);
        let of = client.with_source(known);
        let has_waited = context.has_waited();
        let gate = Gate {
            access: context.access,
            rules: context.rules,
            has_waited,
        };
        let checked = check(head, &mut reply, (self.source, of), gate);
        if let Some(plain) = Plain::of(&checked, head, context.rules) {
            self.answer_plain(plain, (head, bytes), reply, context);
            return None;
        }
        let checked = match checked {
            Ok((route, identity)) => Ok((route, Client { identity, ..client })),
            Err(NotServed::Refused(reason)) => Err(reason),
            Err(NotServed::Denied(refusal)) => {
                self.deny(&refusal, head.path, reply, context);
                return None;
            }
            Err(NotServed::Later(recheck)) => {
                self.postpone(recheck, PostponedRequest::of(head, body), reply, context);
                return None;
            }
            Err(NotServed::Document(_)) => unreachable!("it was answered above"),
        };
        self.serve(head, checked, (body, reply), context)
    }

    /// Serves a request that passed the checks, or refuses it. If its body must be decoded
    /// elsewhere first, returns the form of its answer.
    fn serve(
        &mut self,
        head: &RequestHead<'_>,
        checked: Result<(Route<'_>, Client), Reason<'_>>,
        (body, reply): (RequestBody<'_>, Reply),
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        let bytes = body.bytes();
        let checked = match overload(context).filter(|_| checked.is_ok()) {
            Some(text) => Err(Reason::Overloaded(text)),
            None => checked,
        };
        let mut scratch = std::mem::take(&mut context.pool.scratch);
        scratch.clear();
        let exchange = context.exchange(self.sequence, reply.accept.event_stream);
        let endpoint = &mut *context.endpoint;
        let field = checked.as_ref().err().and_then(Reason::field);
        let mut expires_s = None;
        let disposition = match checked {
            Err(reason) => {
                warn_of_refused_hosts(&reason, context.rules, endpoint.now_ms());
                endpoint.refuse(None, reason, &mut scratch)
            }
            Ok((Route::Post, _)) if endpoint.decodes_elsewhere(bytes.len()) => {
                context.pool.scratch = scratch;
                return Some(reply);
            }
            Ok((Route::Upgrade(_), client)) if !client.is_known() => Disposition::PeerNeeded,
            Ok((Route::Upgrade(handshake), client)) if !context.is_draining => {
                context.pool.scratch = scratch;
                self.upgrade(&handshake, client.into_peer(head.path), context);
                return None;
            }
            Ok((route, client)) => {
                expires_s = client.identity.as_ref().and_then(|it| it.expires_s);
                let requester = &Requester::Here {
                    claims: Claims::of_head(head),
                    identity: client.identity.as_ref(),
                    address: client.address,
                    peer: client.holder,
                };
                let inbound = Inbound::new(requester, exchange);
                handle(endpoint, inbound, (route, body), &mut scratch)
            }
        };
        if let Disposition::PeerNeeded = disposition {
            let request = PostponedRequest::new(head, bytes);
            self.postpone(Recheck::PeerKnown, request, reply, context);
        } else {
            self.settle(disposition, (reply, field), &scratch, context);
            if let Some(expires_s) = expires_s {
                self.note_expiry(expires_s);
            }
        }
        context.pool.scratch = scratch;
        None
    }

    /// The peer of the connection, if all requests have the same. A plain connection costs no
    /// look-up, unless access control depends on addresses.
    #[inline]
    pub(super) fn known_peer<'p>(
        &self,
        peers: &'p KnownPeers,
        access: &AccessControl,
        key: SlotKey,
    ) -> Option<&'p KnownPeer> {
        let source = self.source;
        match source.is_unix() || source.is_tls() || access.needs_addresses() {
            true => peers.get(&key.index),
            false => None,
        }
    }

    /// Keeps a request apart until it is to be handled again.
    pub(super) fn postpone(
        &mut self,
        recheck: Recheck,
        request: PostponedRequest,
        reply: Reply,
        context: &mut Context<'_>,
    ) {
        let key = context.key;
        let now_ms = context.endpoint.now_ms();
        let effects = &mut context.effects;
        match recheck {
            Recheck::PeerKnown => effects.postponed.push((key, request)),
            recheck => {
                let due_ms = context.recheck_due_ms;
                let due_ms = due_ms.unwrap_or(now_ms + context.access.key_wait_ms());
                effects.rechecks.push((
                    recheck,
                    KeptRequest {
                        key,
                        request,
                        peer: context.peer,
                        due_ms,
                    },
                ));
            }
        }
        // It is not the call of a slow tool: no byte is sent before its answer.
        self.wait(reply, context).is_post = false;
    }

    /// Answers a request that access control refuses, on the endpoint with this path.
    #[cold]
    pub(super) fn deny(
        &mut self,
        refusal: &Refusal,
        path: &str,
        reply: Reply,
        context: &mut Context<'_>,
    ) {
        context.meter.count(match refusal.status() {
            403 => Counter::RefusedAccess,
            429 => Counter::RefusedBlocked,
            _ => Counter::RefusedCredential,
        });
        let answer = context.access.answer(refusal, path);
        let mut statuses = Status::ALL.iter();
        let status = statuses.find(|status| status.code() == answer.status);
        let status = status.copied().unwrap_or(Status::Forbidden);
        let extra = Extra {
            challenge: answer.www_authenticate,
            refused: answer
                .retry_after_s
                .map(|retry_after_s| Category::Unavailable { retry_after_s }),
            ..Extra::default()
        };
        let (fields, body) = (context.head_fields(), answer.body.as_bytes());
        response::write_message(context.out(), &reply, fields, status, &extra, body);
    }

    /// Answers a request that brings no message to the endpoint.
    #[cold]
    fn answer_plain(
        &mut self,
        plain: Plain,
        request: (&RequestHead<'_>, &[u8]),
        reply: Reply,
        context: &mut Context<'_>,
    ) {
        match plain {
            Plain::Sse(kind) => self.answer_sse(kind, request, reply, context),
            plain => plain.answer(request.0, &reply, context),
        }
    }

    /// Answers a request, or remembers how to.
    pub(super) fn settle(
        &mut self,
        disposition: Disposition,
        (reply, field): (Reply, Option<(&'static str, &'static str)>),
        body: &[u8],
        context: &mut Context<'_>,
    ) {
        let fields = context.head_fields();
        match disposition {
            Disposition::Answer { refused, session } => {
                let status = http::status_of(refused);
                let challenge = context.access.challenge_of(refused);
                let extra = Extra {
                    session,
                    field,
                    challenge,
                    refused,
                };
                response::write_message(context.out(), &reply, fields, status, &extra, body);
            }
            Disposition::Accepted => {
                response::write_empty(context.out(), &reply, fields, Status::Accepted);
            }
            Disposition::Done => {
                response::write_empty(context.out(), &reply, fields, Status::NoContent);
            }
            Disposition::Pending(call) => {
                self.wait(reply, context).call = call;
            }
            Disposition::PendingCalls(session) => {
                self.wait(reply, context).stream = Some(StreamOwner::Calls(session));
            }
            Disposition::Forward { home, request } => {
                let waiting = self.wait(reply, context);
                waiting.is_post = request.kind.is_post();
                waiting.stream = request.answered_by();
                waiting.home = Some(home);
                context.effects.forwards.push((home, request));
            }
            Disposition::PeerNeeded => unreachable!("the request was postponed"),
            Disposition::Cancel(_) => unreachable!("only channels have requests to cancel by id"),
            Disposition::Stream(owner) => {
                self.wait(reply, context);
                self.open_stream(owner, context);
            }
        }
    }

    pub(super) fn wait(&mut self, reply: Reply, context: &mut Context<'_>) -> &mut WaitingRequest {
        self.phase = Phase::Waiting;
        let Some(http) = self.buffers(context).http_mut() else {
            unreachable!("a request on a channel waits in its table");
        };
        http.waiting.insert(WaitingRequest {
            reply,
            is_post: true,
            call: None,
            decoding: None,
            home: None,
            stream: None,
            batch: None,
            expires_s: 0,
        })
    }
}

/// Warns of a request that the host check or the origin check refused, which is the fault of the
/// configuration as often as of the peer.
fn warn_of_refused_hosts(reason: &Reason<'_>, rules: &Rules, now_ms: u64) {
    if let Reason::Forbidden(text) = reason
        && let Some(others) = rules.refusals.admit(now_ms)
    {
        tracing::warn!(others_since_the_last = others, "refused a request: {text}");
    }
}

/// Lets the endpoint handle a request that was checked.
fn handle(
    endpoint: &mut Endpoint,
    inbound: Inbound<'_>,
    (route, body): (Route<'_>, RequestBody<'_>),
    out: &mut Vec<u8>,
) -> Disposition {
    match (route, body) {
        (Route::Post, RequestBody::Bytes(body)) => endpoint.handle_message(inbound, body, out),
        (Route::Post, RequestBody::Decoded(message)) => {
            endpoint.handle_large_message(inbound, message, out)
        }
        (Route::Post, RequestBody::Undecodable(error, _)) => {
            endpoint.refuse(None, Reason::Undecodable(error), out)
        }
        (
            Route::OpenStream {
                session,
                last_event_id,
            },
            _,
        ) => endpoint.handle_open_stream(inbound, (session, last_event_id), out),
        // Any other connection was upgraded.
        (Route::Upgrade(_), _) => endpoint.refuse(None, Reason::Draining, out),
        (Route::EndSession(session), _) => endpoint.handle_delete_session(inbound, session, out),
        (Route::Head | Route::Options, _) => unreachable!("it was answered as a plain request"),
    }
}

/// The parts of a shard that decide whether a request is served.
struct Gate<'g, 'a> {
    access: &'g mut AccessControl,
    rules: &'a Rules,
    has_waited: bool,
}

/// The checks before the body is read, in this order: host and origin; documents for everybody; the
/// path; the credential; the scopes of the endpoint; the verb and the form of the request. Nothing
/// else is looked at of a page that is not allowed. Gives the identity with the route.
fn check<'a>(
    head: &'a RequestHead<'a>,
    reply: &mut Reply,
    (source, client): (Source, access::Client<'_>),
    gate: Gate<'_, 'a>,
) -> Result<(Route<'a>, Option<Arc<Identity>>), NotServed<'a>> {
    let rules = gate.rules;
    let (host, origin) = (head.effective_host(), head.origin.value());
    let allowed = match head.origin {
        Field::Repeated => Err(OriginRefusal::OriginRepeated),
        _ => rules.origins[usize::from(source.listener())].check(host, origin),
    };
    match allowed {
        Ok(None) => {}
        Ok(Some(origin)) => reply.page = rules.cors.page(source.listener(), origin),
        Err(refusal) if refusal.is_of_host() && probe_of(head, rules).is_some() => {}
        // The documents have no secret.
        Err(refusal) if !refusal.is_of_host() && gate.access.metadata_at(head.path).is_some() => {}
        Err(refusal) => return Err(Reason::Forbidden(refusal.explain(host, origin)).into()),
    }
    if let Some(document) = gate.access.metadata_at(head.path) {
        return Err(match head.method {
            Method::Get | Method::Head | Method::Options => NotServed::Document(document),
            _ => Reason::Verb(PROBE_VERBS).into(),
        });
    }
    let is_upgrade = head.upgrades_to_websocket && head.method == Method::Get;
    if source.binding() == Binding::WebSocket && !is_upgrade {
        let text = "this address serves WebSocket: send a GET with Upgrade: websocket";
        return Err(Reason::UpgradeRequired(text).into());
    }
    let HttpSettings {
        endpoint_paths,
        exact_endpoint,
        ..
    } = &rules.http_settings;
    let is_exact = || head.query.is_none() && endpoint_paths.iter().any(|it| it == head.path);
    let routed = match *exact_endpoint && !is_exact() {
        true => Err(Reason::Path(&endpoint_paths[0])),
        false => http::route(head, endpoint_paths),
    };
    match routed {
        // A preflight has no credential (WHATWG Fetch 4.8).
        Ok(Route::Options) => return Ok((Route::Options, None)),
        Err(reason @ Reason::Path(_)) => {
            return Err(plain::other_target(reason, head, rules).into());
        }
        _ => {}
    }
    let identity = preconditions::identify(gate.access, head, client, gate.has_waited)?;
    let (route, accept) = (routed?, reply.accept);
    match route {
        Route::Post if head.content_type == Field::Repeated => {
            Err(Reason::HeaderDiffers("Content-Type").into())
        }
        Route::Post if !accept::is_json(head.content_type) => Err(Reason::ContentType.into()),
        Route::Post if head.is_encoded => Err(Reason::ContentEncoding.into()),
        Route::Post if !accept.json && !accept.event_stream => {
            Err(Reason::NotAcceptable("application/json or text/event-stream").into())
        }
        Route::OpenStream { .. } | Route::Head if !accept.event_stream => {
            Err(Reason::NotAcceptable("text/event-stream").into())
        }
        route => Ok((route, identity)),
    }
}
