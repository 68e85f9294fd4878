//! Links with TLS: their handshakes, and the records of requests and answers.
//!
//! A link of `https` opens with its handshake, in the time for opening. The bytes of a request and
//! those of TLS itself are sent in chunks, one after the other: a request is in one chunk.

use corelane_gateway::link::Released;
use corelane_gateway::relay::{Executed, Failure, Reason};
use corelane_io::chunk::Chunk;
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;

use super::secured_link::{RequestPlace, SecuredLink};
use super::{LinkState, Links};
use crate::upstream::relay::RelayKey;

/// The plaintext of received bytes, or why there is none.
pub(super) type Opened = Result<Vec<u8>, String>;

impl Links {
    /// Begins the handshake of a link that is connected. Returns whether it has one.
    #[cfg_attr(
        not(feature = "tls"),
        expect(unreachable_code, unused_variables, reason = "no upstream has TLS")
    )]
    pub(super) fn secure(&mut self, rings: &mut Rings, key: SlotKey) -> bool {
        let Some(link) = self.slots.get_mut(self.local(key)) else {
            return false;
        };
        let Some(tls) = &self.endpoints[usize::from(link.upstream)].tls else {
            return false;
        };
        match tls.connect() {
            Ok(session) => {
                let request = RequestPlace::Sent;
                link.secured = Some(Box::new(SecuredLink { session, request }));
                self.flush(rings, key);
            }
            Err(error) => self.fail_secured(rings, key, &error.to_string()),
        }
        true
    }

    /// The link can carry calls.
    pub(super) fn opened(&mut self, rings: &mut Rings, key: SlotKey) {
        let Some(link) = self.slots.get_mut(self.local(key)) else {
            return;
        };
        let upstream = link.upstream;
        link.state = LinkState::Idle;
        self.opening.retain(|(_, opening)| *opening != key);
        let now_ms = self.now_ms;
        match self.endpoint(upstream).pool.opened(key, None, now_ms) {
            Released::Carries(call) => self.start(rings, key, call),
            Released::Idle => {}
            Released::Closes => self.close(rings, key),
        }
        self.open_more(rings, upstream);
    }

    /// The plaintext of bytes of a link with TLS; none of another link.
    pub(super) fn open_records(&mut self, bytes: &[u8], key: SlotKey) -> Option<Opened> {
        let local = self.local(key);
        let secured = self.slots.get_mut(local)?.secured.as_mut()?;
        let mut plaintext = Vec::new();
        let read = secured.session.read(bytes, &mut plaintext);
        Some(read.map(|()| plaintext).map_err(|error| error.to_string()))
    }

    /// Handles the plaintext of a link.
    pub(super) fn take_plaintext(&mut self, rings: &mut Rings, key: SlotKey, opened: Opened) {
        let plaintext = match opened {
            Ok(plaintext) => plaintext,
            Err(error) => return self.fail_secured(rings, key, &error),
        };
        self.flush(rings, key);
        let Some(link) = self.slots.get(self.local(key)) else {
            return;
        };
        let Some(secured) = &link.secured else {
            return;
        };
        let is_established = !secured.session.is_handshaking();
        match link.state {
            LinkState::Opening if !plaintext.is_empty() => {
                let text = "bytes came before the first request";
                return self.fail_secured(rings, key, text);
            }
            LinkState::Opening if is_established && !secured.is_closed() => {
                return self.opened(rings, key);
            }
            _ => {}
        }
        if !plaintext.is_empty() {
            let heard = self.read(&plaintext, key);
            self.heard(rings, key, heard);
        }
        let link = self.slots.get(self.local(key));
        if link.is_some_and(|link| link.secured.as_ref().is_some_and(|it| it.is_closed())) {
            self.end_of_stream(rings, key);
        }
    }

    /// Sends a request with TLS.
    pub(super) fn start_secured(
        &mut self,
        rings: &mut Rings,
        key: SlotKey,
        (call, request): (RelayKey, Chunk),
    ) {
        let local = self.local(key);
        let secured = self.slots.get_mut(local).and_then(|it| it.secured.as_mut());
        let is_written = secured.is_some_and(|secured| {
            secured.request = RequestPlace::Waiting;
            secured.session.write(&request).is_ok()
        });
        // It may have to be sent on another link.
        if let Some(mut relay) = self.port.find(call) {
            relay.request = Some(request);
        }
        match is_written {
            true => self.flush(rings, key),
            false => self.begin_again(rings, key, (call, true), &Failure::unsent(Reason::Closed)),
        }
    }

    /// Sends the records that wait, unless a chunk is on its way.
    fn flush(&mut self, rings: &mut Rings, key: SlotKey) {
        let local = self.local(key);
        let Some(link) = self.slots.get_mut(local).filter(|it| !it.is_sending) else {
            return;
        };
        let Some(secured) = &mut link.secured else {
            return;
        };
        let mut out = Vec::new();
        secured.session.take_output(&mut out);
        if !out.is_empty() {
            if secured.request == RequestPlace::Waiting {
                secured.request = RequestPlace::InChunk;
            }
            link.is_sending = true;
            rings.of(key).send(key, Chunk::from(out), 0);
        }
    }

    /// A chunk of records was sent, or was not.
    pub(super) fn sent_secured(
        &mut self,
        rings: &mut Rings,
        key: SlotKey,
        (chunk, from): (Chunk, usize),
        outcome: Result<usize, i32>,
    ) {
        let local = self.local(key);
        let Some(link) = self.slots.get_mut(local) else {
            return self.port.give(chunk);
        };
        let state = link.state;
        let Some(secured) = &mut link.secured else {
            return self.port.give(chunk);
        };
        match outcome {
            Ok(bytes) if from + bytes < chunk.len() => {
                return rings.of(key).send(key, chunk, from + bytes);
            }
            Ok(_) => {
                link.is_sending = false;
                let is_sent = secured.request == RequestPlace::InChunk;
                if is_sent {
                    secured.request = RequestPlace::Sent;
                }
                self.port.give(chunk);
                if let LinkState::Carrying(call) = state
                    && is_sent
                {
                    let request = self.port.find(call).and_then(|mut it| it.request.take());
                    if let Some(request) = request {
                        self.keep(call, request);
                    }
                }
                return self.flush(rings, key);
            }
            Err(_) => {}
        }
        let is_unsent = match secured.request {
            RequestPlace::Waiting => true,
            // Nothing was taken, so nothing was executed.
            RequestPlace::InChunk => from == 0,
            RequestPlace::Sent => false,
        };
        self.port.give(chunk);
        match state {
            LinkState::Carrying(call) if is_unsent => {
                self.begin_again(rings, key, (call, true), &Failure::unsent(Reason::Closed));
            }
            LinkState::Carrying(call) => self.break_off(rings, key, call),
            LinkState::Opening => self.fail_opening(rings, key),
            LinkState::Idle | LinkState::Line => self.drop_link(rings, key),
        }
    }

    /// TLS of a link has failed.
    fn fail_secured(&mut self, rings: &mut Rings, key: SlotKey, error: &str) {
        let Some(link) = self.slots.get(self.local(key)) else {
            return;
        };
        let (upstream, state) = (link.upstream, link.state);
        let table = self.port.table();
        let name = &*table.endpoints[usize::from(upstream)].name;
        let warnings = &self.endpoints[usize::from(upstream)].warnings;
        if let Some(suppressed) = warnings.admit(self.now_ms) {
            tracing::warn!(upstream = name, error, suppressed, "TLS failed");
        }
        match state {
            LinkState::Opening => self.fail_opening(rings, key),
            LinkState::Idle | LinkState::Line => self.drop_link(rings, key),
            LinkState::Carrying(call) => {
                let failure = Failure::new(Reason::Protocol, Executed::Unknown);
                self.fail(call, &failure.with_detail("its TLS is invalid"));
                self.drop_link(rings, key);
            }
        }
    }

    /// A link that has connected does not open.
    pub(super) fn fail_opening(&mut self, rings: &mut Rings, key: SlotKey) {
        let Some(link) = self.slots.get(self.local(key)) else {
            return;
        };
        let upstream = link.upstream;
        self.opening.retain(|(_, opening)| *opening != key);
        self.close(rings, key);
        let failure = Failure::unsent(Reason::Connect);
        let failure = failure.with_detail("TLS failed, see the log of this server");
        self.open_failed(upstream, &failure);
    }
}
