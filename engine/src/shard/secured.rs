//! The table of connections with TLS, beside that of all connections.
//!
//! ```text
//! New --first bytes--> OnPool <--> Blocked        OnPool --> Established or Over
//! ```
//!
//! A handshake takes up to milliseconds, so its steps run on threads of the offload pool, where the
//! clients take turns. Past the limit one of them ends, which `begun` chooses. Records are opened
//! and sealed on the shard, in the buffers that are there anyway.

mod begun;
mod records;
mod step;

use std::rc::Rc;
use std::sync::Arc;

use crossbeam::queue::SegQueue;

use self::begun::{Age, Begun};
pub(super) use self::records::Effect;
use self::records::Records;
use self::step::Task;
pub(super) use self::step::{Finished, FirstRecords};
use crate::connection::context::Context;
use crate::connection::foreign::ForeignProtocol;
use crate::connection::http::Connection;
use crate::guard::holder::HolderKey;
use crate::handler::offload::{JobId, OffloadPort, WorkKind};
use crate::meter::throttle::Throttle;
pub(crate) use crate::transport::tls::config::TlsSource;
use crate::transport::tls::config::TlsView;
use crate::transport::tls::fault::Fault;
use crate::transport::tls::handshake::{Handshake, HandshakeError, Step};
use crate::transport::tls::session::Session;
use corelane_io::chunk::{Chunk, ChunkPool};
use corelane_io::slots::SlotKey;

/// With so many bytes behind those of a step of a handshake that runs, reading stops.
const LATER_BYTES_MAX: usize = 16 << 10;
/// Memory of one handshake that has begun, and of one established connection, as they were
/// measured.
const HANDSHAKE_BYTES: usize = 32 << 10;
const ESTABLISHED_BYTES: usize = 1536;
/// Between two warnings of handshakes that failed.
const WARNING_INTERVAL_MS: u64 = 60_000;

/// The answer to a request without TLS, the most likely mistake of a client.
const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 53\r\nConnection: close\r\n\r\n\
    this port needs TLS: use https://, wss:// or tcps://\n";
/// The first bytes of requests.
const METHODS: [&[u8]; 7] = [
    b"GET ", b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"PATC",
];

/// The connections with TLS of a shard, by the indexes of their slots.
pub(crate) struct Secured {
    /// `None` if no listener has TLS.
    view: Option<TlsView>,
    offload: Rc<OffloadPort>,
    states: hashbrown::HashMap<u32, State, foldhash::fast::RandomState>,
    /// Handshakes whose first step is over: before that, one is no more than its input.
    begun: Begun,
    /// Bytes that handshakes have received and not used.
    input_bytes: usize,
    warnings: Throttle,
    /// Steps that ran on the pool: at most one for each handshake under way, or closed meanwhile.
    finished: Arc<SegQueue<Finished>>,
}

/// Small: most connections are established and idle.
enum State {
    /// Nothing was received of the client, which holds what it takes in this name.
    New(HolderKey),
    OnPool(Box<OnPool>),
    Blocked(Box<Blocked>),
    Established(Box<Records>),
    /// There was no handshake: nothing is sealed.
    Over,
}

/// A step of a handshake is on the pool.
struct OnPool {
    job: JobId,
    place: Place,
    /// Bytes of memory of its input.
    input_bytes: usize,
    /// Bytes that came meanwhile.
    later: Vec<u8>,
    /// And then the end of the byte stream.
    is_ended: bool,
}

/// A handshake waits for its peer.
struct Blocked {
    handshake: Box<Handshake>,
    place: Place,
    /// Bytes that were not used yet.
    input: Vec<u8>,
}

/// The holder of a handshake, and its age once its first step is over.
#[derive(Clone, Copy)]
struct Place {
    holder: HolderKey,
    age: Option<Age>,
}

/// The effect of a step on its handshake.
pub(super) enum Progress {
    /// It goes on.
    None,
    /// The connection is established, and these are its first bytes.
    Established(FirstRecords),
    /// It failed; without an error for our own fault.
    Failed(Option<HandshakeError>),
    /// Its peer ended the connection.
    Closed,
}

/// The meaning of the end of a byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer announced it.
    Announced,
    /// The last message may have been cut (RFC 8446 6.1).
    Truncated,
    /// It is not known before the step of the handshake is over.
    Later,
}

impl Secured {
    /// No connections; `source` is that of the listeners with TLS, if there are any.
    pub(super) fn new(
        source: Option<&Arc<TlsSource>>,
        handshakes_max: usize,
        offload: Rc<OffloadPort>,
    ) -> Secured {
        Secured {
            view: source.map(TlsSource::view),
            offload,
            states: Default::default(),
            begun: Begun::new(handshakes_max),
            input_bytes: 0,
            warnings: Throttle::new(WARNING_INTERVAL_MS),
            finished: Arc::default(),
        }
    }

    /// Bytes of memory that all of them hold, without those that count as input.
    pub(super) fn held_bytes(&self) -> usize {
        let others = self.states.len() - self.begun.len();
        let handshakes = self.begun.len() * HANDSHAKE_BYTES + self.input_bytes;
        handshakes + others * ESTABLISHED_BYTES
    }

    /// Whether a handshake that failed is worth a warning, and the number of those that were not
    /// since the last one.
    pub(super) fn admit_warning(&self, now_ms: u64) -> Option<u64> {
        self.warnings.admit(now_ms)
    }

    /// Adds a connection that was just accepted.
    pub(super) fn insert(&mut self, key: SlotKey) {
        let new = State::New(HolderKey::ANONYMOUS);
        self.states.insert(key.index, new);
    }

    /// The client of a connection is known, before it sent anything.
    pub(super) fn identify(&mut self, key: SlotKey, client: HolderKey) {
        if let Some(State::New(holder)) = self.states.get_mut(&key.index) {
            *holder = client;
        }
    }

    /// Removes a connection that is closed, and the memory of its input.
    pub(super) fn remove(&mut self, key: SlotKey, input_bytes: &mut usize) {
        let Some(state) = self.states.remove(&key.index) else {
            return;
        };
        match state {
            State::Established(records) => *input_bytes -= records.held_bytes(),
            State::OnPool(on_pool) => {
                // Its result finds no connection, if it has started.
                self.offload.withdraw(WorkKind::Handshake, on_pool.job);
                self.input_bytes -= on_pool.held_bytes();
                self.leave(on_pool.place);
            }
            State::Blocked(blocked) => {
                self.input_bytes -= blocked.input.capacity();
                self.leave(blocked.place);
            }
            State::New(_) | State::Over => {}
        }
    }

    /// A handshake is over.
    fn leave(&mut self, place: Place) {
        if let Some(age) = place.age {
            self.begun.remove(place.holder, age);
        }
    }

    /// The peer sent `bytes`, which are opened in place.
    pub(super) fn received(
        &mut self,
        connection: &mut Connection,
        bytes: &mut [u8],
        context: &mut Context<'_>,
    ) -> Effect {
        let key = context.key;
        let Some(state) = self.states.get_mut(&key.index) else {
            return Effect::Close;
        };
        match state {
            State::Established(records) => records.received(connection, bytes, context),
            State::OnPool(on_pool) => {
                let before = on_pool.held_bytes();
                on_pool.later.extend_from_slice(bytes);
                self.input_bytes += on_pool.held_bytes() - before;
                if on_pool.later.len() >= LATER_BYTES_MAX {
                    connection.pause_handshake(context);
                }
                Effect::None
            }
            State::Over => {
                connection.received(bytes, context);
                Effect::None
            }
            State::New(_) if METHODS.iter().any(|it| bytes.starts_with(it)) => {
                *state = State::Over;
                Effect::Refuse(PLAIN_HTTP_ANSWER)
            }
            State::New(_) if ForeignProtocol::of(bytes) == Some(ForeignProtocol::Proxy) => {
                *state = State::Over;
                ForeignProtocol::Proxy.warn(&context.rules.foreign, context.endpoint.now_ms());
                Effect::Close
            }
            State::New(holder) => {
                let (holder, age) = (*holder, None);
                *state = State::Over;
                self.submit((key, Place { holder, age }), None, bytes.to_vec())
            }
            State::Blocked(_) => {
                let State::Blocked(blocked) = std::mem::replace(state, State::Over) else {
                    return Effect::Close;
                };
                let Blocked {
                    handshake,
                    place,
                    mut input,
                } = *blocked;
                self.input_bytes -= input.capacity();
                input.extend_from_slice(bytes);
                self.submit((key, place), Some(handshake), input)
            }
        }
    }

    /// A handshake to end, if more have begun than may be under way.
    pub(super) fn excess(&self) -> Option<SlotKey> {
        self.begun.excess()
    }

    /// Lets the pool do the next step of a handshake, or the first one. The clients take turns, and
    /// later steps do not wait behind first ones of the same client.
    fn submit(
        &mut self,
        (key, place): (SlotKey, Place),
        handshake: Option<Box<Handshake>>,
        input: Vec<u8>,
    ) -> Effect {
        let Some(view) = &mut self.view else {
            return Effect::Close;
        };
        let config = view.current();
        let input_bytes = input.capacity();
        let holder = match handshake {
            Some(_) => place.holder.continued(),
            None => place.holder,
        };
        let mut task = Task::new(key, Arc::clone(&self.finished));
        let work = move |wake: &_| task.run(handshake, config, input, wake);
        match self.offload.submit((WorkKind::Handshake, holder), work) {
            Ok(job) => {
                let on_pool = Box::new(OnPool {
                    job,
                    place,
                    input_bytes,
                    later: Vec::new(),
                    is_ended: false,
                });
                self.input_bytes += input_bytes;
                self.states.insert(key.index, State::OnPool(on_pool));
                Effect::None
            }
            Err(_) => {
                self.leave(place);
                Effect::Close
            }
        }
    }

    /// The next step that is over.
    pub(super) fn poll_finished(&mut self) -> Option<Finished> {
        self.finished.pop()
    }

    /// Whether steps are over.
    pub(super) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Goes on with the handshake of a connection after a step.
    pub(super) fn proceed(
        &mut self,
        key: SlotKey,
        step: Option<Result<Step, HandshakeError>>,
        mut input: Vec<u8>,
    ) -> Progress {
        let Some(state) = self.states.get_mut(&key.index) else {
            return Progress::Closed;
        };
        let State::OnPool(on_pool) = std::mem::replace(state, State::Over) else {
            return Progress::Closed;
        };
        self.input_bytes -= on_pool.held_bytes();
        let OnPool {
            mut place,
            later,
            is_ended,
            ..
        } = *on_pool;
        input.extend_from_slice(&later);
        let step = match step {
            Some(Ok(Step::Blocked(_))) if later.is_empty() && is_ended => {
                self.leave(place);
                return Progress::Closed;
            }
            Some(Ok(Step::Blocked(handshake))) => {
                let begun = &mut self.begun;
                place.age = place.age.or_else(|| Some(begun.insert(place.holder, key)));
                return match later.is_empty() {
                    true => self.block((key, place), handshake, input),
                    false => self.resubmit((key, place), handshake, (input, is_ended)),
                };
            }
            step => step,
        };
        self.leave(place);
        match step {
            Some(Ok(Step::Established(established))) => {
                let established = *established;
                let records = Box::new(Records::new(established.session));
                self.states.insert(key.index, State::Established(records));
                Progress::Established(FirstRecords {
                    records: input,
                    is_ended,
                    is_resumed: established.is_resumed,
                    client: established.client,
                })
            }
            Some(Ok(_)) => Progress::Closed,
            Some(Err(error)) => Progress::Failed(Some(error)),
            None => Progress::Failed(None),
        }
    }

    /// Lets a handshake wait for its peer.
    fn block(
        &mut self,
        (key, place): (SlotKey, Place),
        handshake: Box<Handshake>,
        mut input: Vec<u8>,
    ) -> Progress {
        input.shrink_to_fit();
        self.input_bytes += input.capacity();
        let blocked = Box::new(Blocked {
            handshake,
            place,
            input,
        });
        self.states.insert(key.index, State::Blocked(blocked));
        Progress::None
    }

    /// Goes on with a handshake whose peer sent more while a step was on the pool.
    fn resubmit(
        &mut self,
        place: (SlotKey, Place),
        handshake: Box<Handshake>,
        (input, is_ended): (Vec<u8>, bool),
    ) -> Progress {
        let effect = self.submit(place, Some(handshake), input);
        if is_ended {
            self.ended(place.0);
        }
        match effect {
            Effect::None => Progress::None,
            _ => Progress::Closed,
        }
    }

    /// Seals the output of a step. A connection that is not established has none.
    ///
    /// # Errors
    /// A fault of our own: the connection is of no further use.
    pub(super) fn seal(
        &mut self,
        key: SlotKey,
        out: Option<Chunk>,
        chunks: &mut ChunkPool,
    ) -> Result<Option<Chunk>, Fault> {
        let Some(session) = self.session(key) else {
            return Ok(None);
        };
        if out.is_none() && !session.has_output() {
            return Ok(None);
        }
        let plaintext = out.as_ref().map_or(&[][..], |out| out);
        let mut sealed = chunks.take(Session::sealed_bytes(plaintext.len()));
        session.seal(plaintext, &mut sealed)?;
        out.into_iter().for_each(|out| chunks.give(out));
        Ok((!sealed.is_empty()).then_some(sealed))
    }

    /// The end of the output, once.
    pub(super) fn end(&mut self, key: SlotKey, chunks: &mut ChunkPool) -> Option<Chunk> {
        let session = self.session(key)?;
        if session.is_write_closed() {
            return None;
        }
        let mut sealed = chunks.take(Session::sealed_bytes(0));
        session.close(&mut sealed).ok()?;
        Some(sealed)
    }

    /// The end of the output, for a fault of the peer.
    pub(super) fn fail(
        &mut self,
        key: SlotKey,
        fault: Fault,
        chunks: &mut ChunkPool,
    ) -> Option<Chunk> {
        let session = self.session(key)?;
        let mut sealed = chunks.take(Session::sealed_bytes(0));
        session.fail(fault, &mut sealed);
        (!sealed.is_empty()).then_some(sealed)
    }

    /// The byte stream of a connection has ended.
    pub(super) fn ended(&mut self, key: SlotKey) -> Ending {
        match self.states.get_mut(&key.index) {
            Some(State::OnPool(on_pool)) => {
                on_pool.is_ended = true;
                Ending::Later
            }
            Some(State::Established(records)) if !records.session.is_read_closed() => {
                Ending::Truncated
            }
            _ => Ending::Announced,
        }
    }

    /// Frees the ciphers of an idle connection.
    pub(super) fn shed(&mut self, key: SlotKey) {
        if let Some(session) = self.session(key) {
            session.shed();
        }
    }

    /// Whether a part of a record was received.
    pub(super) fn has_partial_record(&self, key: SlotKey) -> bool {
        match self.states.get(&key.index) {
            Some(State::Established(records)) => records.held_bytes() > 0,
            _ => false,
        }
    }

    fn session(&mut self, key: SlotKey) -> Option<&mut Session> {
        match self.states.get_mut(&key.index) {
            Some(State::Established(records)) => Some(&mut records.session),
            _ => None,
        }
    }
}

impl OnPool {
    /// Bytes of memory of its input.
    fn held_bytes(&self) -> usize {
        self.input_bytes + self.later.capacity()
    }
}
