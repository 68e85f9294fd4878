//! The steps of connections with TLS: between the ring and their table, `secured`.
//!
//! Output is sealed when a step ends, in [`Shard::finish_step`]; behind that are only bytes as they
//! are sent.

use super::secured::{Effect, Ending, Finished, FirstRecords, Progress};
use super::work::Shard;
use crate::connection::http::Phase;
use crate::guard::peer::KnownPeer;
use crate::meter::Counter;
use crate::transport::tls::fault::Fault;
use crate::transport::tls::handshake::HandshakeError;
use corelane_io::chunk::Chunk;
use corelane_io::slots::SlotKey;

/// Handshakes that go on in one turn: each of them leads to a send.
const HANDSHAKES_PER_TURN: usize = 64;

impl Shard {
    /// Goes on with handshakes after their steps on the pool. Returns whether there were any.
    pub(super) fn handle_handshakes(&mut self) -> bool {
        let mut count = 0;
        while count < HANDSHAKES_PER_TURN
            && let Some(finished) = self.secured.poll_finished()
        {
            count += 1;
            self.handshake_step(finished);
        }
        if count > 0 {
            self.end_excess();
        }
        count > 0
    }

    /// Ends handshakes of the clients with the most, if there are too many.
    fn end_excess(&mut self) {
        while let Some(key) = self.secured.excess() {
            self.handling.meter.count(Counter::TlsHandshakesEvicted);
            self.close(key, Counter::ClosedShed);
        }
    }

    fn handshake_step(&mut self, finished: Finished) {
        let key = finished.key;
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let was_paused = connection.resume_handshake();
        let progress = self.secured.proceed(key, finished.step, finished.input);
        let out = (!finished.out.is_empty()).then(|| Chunk::from(finished.out));
        match progress {
            Progress::None => self.finish_sealed(key, out),
            Progress::Closed => self.close(key, Counter::ClosedPeer),
            Progress::Failed(error) => self.handshake_failed(key, error, out),
            Progress::Established(first) => {
                // The tickets go before answers.
                if let Some(connection) = self.slots.get_mut(key) {
                    connection.phase = Phase::Idle;
                }
                self.finish_sealed(key, out);
                self.established(key, first);
            }
        }
        if was_paused {
            self.receive(key);
        }
    }

    /// Handles the first bytes of an established connection.
    fn established(&mut self, key: SlotKey, mut first: FirstRecords) {
        self.handling.meter.count(match first.is_resumed {
            true => Counter::TlsHandshakesResumed,
            false => Counter::TlsHandshakesFull,
        });
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if let Some(client) = first.client {
            let certified = KnownPeer::certified(&client.subject, client.sha256);
            let known = self.handling.peers.entry(key.index).or_default();
            known.identity = certified.identity;
            known.certificate = certified.certificate;
        }
        let mut context = self.handling.context(key);
        let effect = self
            .secured
            .received(connection, &mut first.records, &mut context);
        let out = context.out.take();
        self.apply(key, effect, out);
        if first.is_ended && self.slots.get(key).is_some() {
            self.is_end_announced(key);
        }
        if self.handling.is_draining && self.slots.get(key).is_some() {
            // Its first request may be there, and then it is served.
            self.receive(key);
        }
    }

    fn handshake_failed(
        &mut self,
        key: SlotKey,
        error: Option<HandshakeError>,
        out: Option<Chunk>,
    ) {
        self.handling.meter.count(Counter::TlsHandshakesFailed);
        let Some(error) = error else {
            return self.close(key, Counter::ClosedError);
        };
        if let Some(suppressed) = self.secured.admit_warning(self.now_ms) {
            tracing::warn!(
                shard = self.handling.shard,
                suppressed,
                %error,
                "a TLS handshake failed, for a fault of the client or because it refused the \
                 certificate of the server"
            );
        }
        if let Some(connection) = self.slots.get_mut(key) {
            connection.phase = Phase::Flushing { lingers: true };
        }
        self.finish_sealed(key, out);
    }

    /// Does the work after bytes were received, whose handling made `out`.
    pub(super) fn apply(&mut self, key: SlotKey, effect: Effect, out: Option<Chunk>) {
        match effect {
            Effect::None => {
                self.finish_step(key, out);
            }
            Effect::Close => self.close(key, Counter::ClosedPeer),
            Effect::Ended => {
                let Some(connection) = self.slots.get_mut(key) else {
                    return;
                };
                let mut context = self.handling.context(key);
                context.out = out;
                if connection.finished(&mut context) {
                    return self.close(key, Counter::ClosedPeer);
                }
                let out = context.out.take();
                self.finish_step(key, out);
            }
            Effect::Refuse(bytes) => {
                let mut chunk = self.handling.pool.chunks.take(bytes.len());
                chunk.extend_from_slice(bytes);
                if let Some(connection) = self.slots.get_mut(key) {
                    connection.phase = Phase::Flushing { lingers: true };
                }
                self.finish_sealed(key, Some(chunk));
            }
            Effect::Fail(fault) => self.fail(key, fault, out),
        }
    }

    /// Ends a connection for a fault of its peer, after the output so far.
    fn fail(&mut self, key: SlotKey, fault: Fault, out: Option<Chunk>) {
        self.handling.meter.count(Counter::TlsFaults);
        tracing::debug!(shard = self.handling.shard, %fault, "a TLS connection ends");
        self.finish_step(key, out);
        let alert = self
            .secured
            .fail(key, fault, &mut self.handling.pool.chunks);
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if connection.is_between_answers() {
            let mut context = self.handling.context(key);
            connection.drop_input(&mut context);
            connection.phase = Phase::Flushing { lingers: true };
            return self.finish_sealed(key, alert);
        }
        if let Some(alert) = alert.filter(|_| !connection.is_sending()) {
            self.rings.of(key).send(key, alert, 0);
        }
        self.close(key, Counter::ClosedError);
    }

    /// Seals the output of a step.
    ///
    /// # Errors
    /// A fault of our own: the connection is of no further use.
    pub(super) fn seal(
        &mut self,
        key: SlotKey,
        out: Option<Chunk>,
    ) -> Result<Option<Chunk>, Fault> {
        let sealed = self
            .secured
            .seal(key, out, &mut self.handling.pool.chunks)?;
        let has_part = self.secured.has_partial_record(key);
        if let Some(connection) = self.slots.get_mut(key) {
            connection.note_partial_record(has_part);
        }
        Ok(sealed)
    }

    /// The byte stream of a connection with TLS has ended. Returns whether its peer announced that:
    /// otherwise the connection is closed, now or after the handshake.
    pub(super) fn is_end_announced(&mut self, key: SlotKey) -> bool {
        let ending = self.secured.ended(key);
        if ending == Ending::Truncated {
            self.handling.meter.count(Counter::TlsTruncated);
            self.close(key, Counter::ClosedPeer);
        }
        ending == Ending::Announced
    }

    /// Sends the last record of a connection whose output is sent. Returns whether it is on its
    /// way: a connection without TLS has none.
    pub(super) fn ends_with_a_record(&mut self, key: SlotKey) -> bool {
        let Some(connection) = self.slots.get_mut(key) else {
            return false;
        };
        if !connection.source.is_tls() {
            return false;
        }
        let Some(end) = self.secured.end(key, &mut self.handling.pool.chunks) else {
            return false;
        };
        connection.begin_send(&end);
        self.handling.pool.output_bytes += connection.held_output_bytes();
        self.rings.of(key).send(key, end, 0);
        true
    }

    /// Forgets a connection with TLS that is closed. Its peer learns that nothing is missing,
    /// unless output is still on its way.
    pub(super) fn forget_secured(&mut self, key: SlotKey, is_sending: bool) {
        if !is_sending && let Some(end) = self.secured.end(key, &mut self.handling.pool.chunks) {
            self.rings.of(key).send(key, end, 0);
        }
        self.secured
            .remove(key, &mut self.handling.pool.input_bytes);
    }
}
