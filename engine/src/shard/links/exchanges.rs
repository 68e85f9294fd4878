//! The tokens of clients that are exchanged for others (RFC 8693): each call of such an upstream
//! has the token that its client's was exchanged for.
//!
//! The control side requests one, once for all shards, and this shard keeps it until its end.
//! Invariant: a call of a client is sent with the token that its own was exchanged for, or not at
//! all.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use corelane_gateway::relay::{Failure, Reason};

use super::Links;
use super::exchanged_tokens::{ExchangingCall, Held};
use crate::guard::subject::SubjectToken;
use crate::upstream::board::{ControlEvent, ExchangeAnswer, ExchangeRequest};
use crate::upstream::exchanged_token::ExchangedToken;
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

/// Most exchanged tokens that a shard keeps of one upstream: all are forgotten past it, and the
/// control side still has those of them that were used last.
const EXCHANGED_MAX: usize = 10_000;

impl Links {
    /// Whether a call has the token that its client's was exchanged for. Otherwise it waits for
    /// one, or has failed.
    pub(super) fn has_exchanged(&mut self, call: RelayKey) -> bool {
        let Some(relay) = self.port.find(call) else {
            return false;
        };
        if relay.exchanged.is_some() {
            return true;
        }
        let (upstream, subject) = (relay.upstream, relay.subject.clone());
        drop(relay);
        let Some(subject) = subject else {
            let failure = Failure::unsent(Reason::Credential);
            let detail = "it needs an access token of the client, in the field Authorization";
            self.fail(call, &failure.with_detail(detail));
            return false;
        };
        let now = Instant::now();
        let first = self.first_of(upstream);
        let held = self.endpoint(first).exchanged.get_mut(&subject.key());
        match held.filter(|held| held.token.ends > now && !held.is_refused) {
            Some(held) => {
                let token = Arc::clone(&held.token);
                let renews = token.renew <= now && !std::mem::replace(&mut held.is_renewing, true);
                if renews {
                    self.request_exchange(first, &subject, Some(token.number));
                }
                self.give_exchanged(call, token);
                true
            }
            None => {
                self.exchange(call, &subject);
                false
            }
        }
    }

    /// The upstream refuses the token that a client's was exchanged for. Returns whether the call
    /// waits for another one, as it does once.
    pub(super) fn exchanges_again(&mut self, call: RelayKey) -> bool {
        let Some(mut relay) = self.port.find(call) else {
            return false;
        };
        let upstream = relay.upstream;
        let is_first = !std::mem::replace(&mut relay.was_challenged, true);
        let refused = relay.exchanged.take();
        let owner = relay.owner();
        let Some((refused, subject)) = refused.zip(relay.subject.clone()) else {
            drop(relay);
            // The handshake of a session: the next call exchanges the token of its client again.
            let bearers = &mut self.endpoint(upstream).bearers;
            if let Some(refused) = owner.and_then(|owner| bearers.remove(&owner)) {
                self.refuse(upstream, refused.number);
            }
            return false;
        };
        if is_first && let Some(request) = &mut relay.request {
            let from = self.head_bytes(upstream);
            request.drain(from..from + refused.line().len());
        }
        let may = is_first && relay.request.is_some();
        if may {
            relay.link = None;
            relay.forget_answer();
        }
        drop(relay);
        self.refuse(upstream, refused.number);
        if may {
            self.exchange(call, &subject);
        }
        may
    }

    /// Takes the answer of the control side.
    pub(super) fn take_exchanged(&mut self, answer: &ExchangeAnswer) {
        let links = self.endpoints.get_mut(usize::from(answer.upstream));
        if let Some(links) = links.filter(|it| it.instance == answer.instance) {
            match &answer.result {
                Ok(token) => {
                    if links.exchanged.len() >= EXCHANGED_MAX {
                        links.exchanged.clear();
                    }
                    let held = Held {
                        token: Arc::clone(token),
                        is_renewing: false,
                        is_refused: false,
                    };
                    links.exchanged.insert(answer.key, held);
                }
                // That of before is used to its end.
                Err(_) => {
                    if let Some(held) = links.exchanged.get_mut(&answer.key) {
                        held.is_renewing = false;
                    }
                }
            }
        }
        let is_of = |it: &ExchangingCall| (it.instance, it.key) == (answer.instance, answer.key);
        let all = std::mem::take(&mut self.exchanging);
        let (waited, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_of);
        self.exchanging = others;
        for ExchangingCall { call, .. } in waited {
            match &answer.result {
                Ok(token) => {
                    self.give_exchanged(call, Arc::clone(token));
                    self.port.begin_again(call);
                }
                Err(fault) => {
                    let failure = Failure::unsent(Reason::Credential);
                    self.fail(call, &failure.with_detail(*fault));
                }
            }
        }
    }

    /// Ends the calls that have waited too long, and forgets the tokens of sessions that have
    /// ended.
    pub(super) fn end_exchanging(&mut self) {
        let now_ms = self.now_ms;
        let is_over = |it: &ExchangingCall| it.due_ms <= now_ms;
        let all = std::mem::take(&mut self.exchanging);
        let (over, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_over);
        self.exchanging = others;
        for ExchangingCall { call, .. } in over {
            let failure = Failure::unsent(Reason::Credential);
            let detail = "the authorization server has not exchanged the token of the client";
            self.fail(call, &failure.with_detail(detail));
        }
        for links in &mut self.endpoints {
            if links.bearers.len() > links.sessions.len() {
                let sessions = &links.sessions;
                links
                    .bearers
                    .retain(|owner, _| sessions.head(owner).is_some());
            }
        }
    }

    /// A head with the token for the session of an owner, where the heads have none.
    pub(super) fn with_bearer<'h>(
        &self,
        head: &'h [u8],
        upstream: u16,
        owner: &SessionOwner,
    ) -> Cow<'h, [u8]> {
        let table = self.port.borrow_table();
        let service = &table.endpoints[usize::from(upstream)].heads.service;
        let line: &[u8] = match owner {
            SessionOwner::Control => service,
            owner => self.bearer_line(upstream, owner),
        };
        match head.is_empty() || line.is_empty() {
            true => Cow::Borrowed(head),
            false => Cow::Owned([head, line].concat()),
        }
    }

    /// The line with the token for the session of a client; may be empty.
    pub(super) fn bearer_line(&self, upstream: u16, owner: &SessionOwner) -> &[u8] {
        let bearers = &self.endpoints[usize::from(upstream)].bearers;
        bearers.get(owner).map_or(&[], |token| token.line())
    }

    /// Lets a call wait for the token of its client to be exchanged.
    fn exchange(&mut self, call: RelayKey, subject: &SubjectToken) {
        let Some(upstream) = self.port.find(call).map(|relay| relay.upstream) else {
            return;
        };
        let first = self.first_of(upstream);
        let (instance, key) = (self.endpoint(first).instance, subject.key());
        let mut waiting = self.exchanging.iter();
        let is_requested = waiting.any(|it| (it.instance, it.key) == (instance, key));
        self.exchanging.push(ExchangingCall {
            call,
            instance,
            key,
            due_ms: self.now_ms + self.settings.list_ms,
        });
        if !is_requested {
            let held = self.endpoint(first).exchanged.get(&key);
            let refused = held.filter(|held| held.is_refused);
            let before = refused.map(|held| held.token.number);
            self.request_exchange(first, subject, before);
        }
    }

    fn request_exchange(&mut self, upstream: u16, subject: &SubjectToken, before: Option<u64>) {
        let instance = self.endpoint(upstream).instance;
        self.board.send(ControlEvent::Exchange(ExchangeRequest {
            upstream,
            instance,
            shard: self.shard,
            subject: subject.clone(),
            before,
        }));
    }

    /// Puts an exchanged token into a call, and into its request if that is written.
    fn give_exchanged(&self, call: RelayKey, token: Arc<ExchangedToken>) {
        let Some(mut relay) = self.port.find(call) else {
            return;
        };
        let from = self.head_bytes(relay.upstream);
        if let Some(request) = &mut relay.request {
            request.splice(from..from, token.line().iter().copied());
        }
        relay.exchanged = Some(token);
    }

    /// The bytes of the head of messages, behind which the token is.
    fn head_bytes(&self, upstream: u16) -> usize {
        let table = self.port.borrow_table();
        table.endpoints[usize::from(upstream)].heads.post.len()
    }

    /// The upstream refuses the token with this number.
    fn refuse(&mut self, upstream: u16, number: u64) {
        let first = self.first_of(upstream);
        let mut held = self.endpoint(first).exchanged.values_mut();
        if let Some(held) = held.find(|held| held.token.number == number) {
            held.is_refused = true;
        }
    }

    /// The number of the first replica.
    fn first_of(&self, replica: u16) -> u16 {
        let table = self.port.borrow_table();
        table.endpoints[usize::from(replica)].upstream
    }
}
