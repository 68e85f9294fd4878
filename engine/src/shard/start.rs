//! Starting a shard on its thread.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::sync::mpsc::{SendError, Sender};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use super::address_counts::AddressCounts;
use super::busy_poll;
use super::control::ShardControl;
use super::error::{LOCKED_KIB_MIN, ShardError};
use super::handed::HandOver;
use super::kept::Place;
use super::lives::{Announcement, Deaths, Lives};
use super::loop_delay::LoopDelay;
use super::memory::memory_bytes_max;
use super::proxied::{ProxiedClients, Proxies};
use super::run::run;
use super::work::{Drain, Handling, MemoryState, OverloadWarnings, Shard, date_now};
use super::{Secured, ShardMessage, TlsSource};
use crate::access::{AccessBoard, AccessControl};
use crate::catalog::pending_updates::ShardUpdates;
use crate::connection::context::{BufferPool, Rules, StepEffects};
use crate::connection::cors::Cors;
use crate::connection::http_settings::HttpSettings;
use crate::connection::request::REFUSAL_WARNING_INTERVAL_MS;
use crate::handler::event_queue::EventQueue;
use crate::handler::offload::{OffloadPool, OffloadPort};
use crate::handler::runtime::RuntimeContext;
use crate::live::Live;
use crate::mcp::{Endpoint, EndpointSettings, ServerParts};
use crate::meter::throttle::Throttle;
use crate::meter::{MeterSnapshot, ShardMeter};
use crate::profile::{Profile, ShardProfile};
use crate::transport::listener::Listener;
use corelane_io::executor::{Executor, ExecutorError, ExecutorSettings, Parker, yield_now};
use corelane_io::lanes::{LaneReceiver, LaneSender};
use corelane_io::ring::RingError;
use corelane_io::rings::{Rings, RingsSettings};
use corelane_io::slots::Slots;
use corelane_io::wake::Waker;
use corelane_io::wheel::Wheel;
use rustix::thread::gettid;

/// Lists of the timing wheel, and milliseconds of each: a rotation of 51 s.
const WHEEL_TICKS: u32 = 1024;
const WHEEL_TICK_MS: u32 = 50;

/// Where the connections of a shard come from.
#[derive(Clone)]
pub(crate) enum Intake {
    /// Listeners, each of which lets so many of them wait.
    Listeners(Vec<Place<Listener>>, u32),
    /// There is one, of lines, and the shard ends with it.
    Channel(Place<OwnedFd>),
}

/// Everything a shard is made from, in each of its lives.
#[derive(Clone)]
pub(crate) struct ShardPlan {
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) profile: ShardProfile,
    /// Whether its thread is pinned to the core of the profile.
    pub(crate) is_pinned: bool,
    pub(crate) rings: RingsSettings,
    pub(crate) intake: Intake,
    /// The settings that a reload replaces.
    pub(crate) live: Arc<Live>,
    /// The snapshots of access control, if it is configured.
    pub(crate) access: Option<Arc<AccessBoard>>,
    /// Whether the user of a peer on a Unix socket is its principal.
    pub(crate) user_is_principal: bool,
    pub(crate) proxies: Proxies,
    pub(crate) parts: ServerParts,
    /// Changes from other threads.
    pub(crate) updates: Arc<ShardUpdates>,
    pub(crate) offload: OffloadPool,
    /// The certificates of listeners with TLS, if there are any.
    pub(crate) tls: Option<Arc<TlsSource>>,
    /// The context that handlers run in, if any.
    pub(crate) runtime: Option<RuntimeContext>,
    pub(crate) sender: Place<LaneSender<ShardMessage>>,
    pub(crate) receiver: Place<LaneReceiver<ShardMessage>>,
    pub(crate) lives: Arc<Lives>,
    pub(crate) ring_fds: Arc<[AtomicI32]>,
    pub(crate) control: Arc<ShardControl>,
}

impl Intake {
    /// What a user can do about locked memory besides raising the limit.
    fn locked_memory_remedy(&self) -> &'static str {
        match self {
            Intake::Listeners(..) => {
                "run fewer shards (--shards, or server.shards of the profile), or lower \
                 ring.completion_entries, ring.submission_entries, ring.buffer_count and \
                 executor.ring_depth of the profile"
            }
            Intake::Channel(_) => "end other processes of the user",
        }
    }
}

impl ShardError {
    /// The error of a shard of this plan whose memory cannot be locked.
    fn locked_memory(plan: &ShardPlan) -> ShardError {
        let needed_kib = shard_locked_bytes(&plan.profile, &plan.rings) / 1024;
        let limit = rlimit::Resource::MEMLOCK.get_soft().unwrap_or_default();
        ShardError::LockedMemory {
            shard: plan.shard,
            needed_kib,
            limit_kib: limit / 1024,
            least_kib: LOCKED_KIB_MIN.max(needed_kib * usize::from(plan.shards)),
            other_remedy: plan.intake.locked_memory_remedy(),
        }
    }
}

/// A shard's thread; it ends when the shard has drained.
pub(crate) type ShardThread = thread::JoinHandle<Result<MeterSnapshot, ShardError>>;

/// Starts a shard. It reports through `ready` when it accepts connections, or why it cannot start.
/// `end_guard` is dropped when its thread ends, in any way.
pub(crate) fn spawn(
    plan: ShardPlan,
    ready: Sender<Result<(), ShardError>>,
    end_guard: impl Send + 'static,
) -> Result<ShardThread, ShardError> {
    let shard = plan.shard;
    thread::Builder::new()
        .name(format!("shard-{shard}"))
        .spawn(move || {
            let _end_guard = end_guard;
            serve(plan, ready)
        })
        .map_err(|error| ShardError::Thread { shard, error })
}

fn serve(
    plan: ShardPlan,
    ready: Sender<Result<(), ShardError>>,
) -> Result<MeterSnapshot, ShardError> {
    let shard = plan.shard;
    let page = plan.control.page.as_ref();
    let _life = page.map(|it| it.begin_life(gettid().as_raw_nonzero().get().unsigned_abs()));
    // For the whole thread: handlers are polled and dropped inside, at no cost to a call.
    let runtime = plan.runtime.clone();
    let _entered = runtime.as_ref().map(RuntimeContext::enter);
    // The receiver of `ready` gets a failure; the thread then ends quietly, or with the failure if
    // the receiver is gone. `ready` is dropped before the shard runs: a shard that panics while it
    // opens is seen as hanging up.
    let give_up = |ready: Sender<_>, error| match ready.send(Err(error)) {
        Err(SendError(Err(error))) => Err(error),
        _ => Ok(MeterSnapshot::default()),
    };
    let core = plan.is_pinned.then_some(plan.profile.core_id);
    let executor = match Executor::new(executor_settings(&plan.profile, core)) {
        Ok(executor) => executor,
        Err(ExecutorError::Memory) => return give_up(ready, ShardError::locked_memory(&plan)),
        Err(ExecutorError::Unavailable(code)) => {
            let source = io::Error::from_raw_os_error(code);
            let error = RingError::Unavailable { source };
            return give_up(ready, ShardError::Ring { shard, error });
        }
        Err(error) => return give_up(ready, ShardError::Executor { shard, error }),
    };
    executor.run(async {
        let mut shard_state = match open(plan) {
            Ok(opened) => opened,
            Err(error) => return give_up(ready, error),
        };
        let (fd, other) = shard_state.rings.park_eventfds();
        let parker = match Parker::new(fd, other) {
            Ok(parker) => parker,
            Err(error) => return give_up(ready, ShardError::Executor { shard, error }),
        };
        let meter = Rc::clone(&shard_state.handling.meter);
        let control = Arc::clone(&shard_state.control);
        let _ = ready.send(Ok(()));
        drop(ready);
        let ended = catch_panic(run(&mut shard_state, &parker)).await;
        drop(parker);
        // After a panic its parts may be in any state, so that dropping them may panic too.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(shard_state)));
        // The tasks of handlers that were cancelled by that go now.
        yield_now().await;
        let failure = match (ended, dropped) {
            (Ok(Ok(())), Ok(())) => return Ok(meter.snapshot()),
            (Ok(Err(error)), Ok(())) => ShardError::Broken { shard, error },
            _ => ShardError::Panicked { shard },
        };
        control.keep_totals(&meter.snapshot());
        meter.publish_end();
        Err(failure)
    })
}

/// Runs `future` until it is done or panics.
async fn catch_panic<T>(future: impl Future<Output = T>) -> thread::Result<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// Opens the rings of a shard and starts to accept.
fn open(plan: ShardPlan) -> Result<Shard, ShardError> {
    let rings = Rings::open(&plan.rings).map_err(|error| match error {
        RingError::Memory { .. } => ShardError::locked_memory(&plan),
        error => ShardError::Ring {
            shard: plan.shard,
            error,
        },
    })?;
    open_on(rings, plan)
}

/// How the executor of a shard is made that is pinned to `core`, if that is set.
fn executor_settings(profile: &ShardProfile, core: Option<usize>) -> ExecutorSettings {
    ExecutorSettings {
        core,
        ring_depth: profile.executor.ring_depth as usize,
        io_memory_bytes: profile.executor.io_memory_bytes,
    }
}

/// Locked memory of a shard, in bytes.
fn shard_locked_bytes(profile: &ShardProfile, rings: &RingsSettings) -> usize {
    executor_settings(profile, None).locked_bytes() + rings.locked_bytes()
}

impl Profile {
    /// The least limit on locked memory, in bytes, with which a server of this profile starts that
    /// has a shard on each of `cores`: see setrlimit(2), RLIMIT_MEMLOCK. The limit is for all
    /// processes of a user together. The limit on open files allows a ring so many sockets.
    ///
    /// ```
    /// let profile = corelane::Profile::default();
    /// assert!(profile.locked_bytes(&[0, 1], 10_000) > profile.locked_bytes(&[0], 10_000));
    /// ```
    #[must_use]
    pub fn locked_bytes(&self, cores: &[usize], ring_sockets_max: u32) -> usize {
        let shards = cores.iter().map(|&core| self.shard_on(core));
        let of_shard = |it: ShardProfile| shard_locked_bytes(&it, &it.rings(ring_sockets_max));
        (LOCKED_KIB_MIN * 1024).max(shards.map(of_shard).sum())
    }
}

/// Starts to accept on `rings`.
pub(super) fn open_on(mut rings: Rings, plan: ShardPlan) -> Result<Shard, ShardError> {
    let (shard, profile) = (plan.shard, plan.profile);
    let deaths = Deaths::new(&plan.lives, shard);
    let ring_fd = rings.first().raw_fd();
    let of_server = (&plan.lives, &plan.ring_fds, &plan.control.readiness);
    let announcement = Announcement::new(of_server, shard, ring_fd);
    plan.control.set_waker(rings.waker());
    plan.updates.set_waker(rings.waker());
    busy_poll::begin(&mut rings, &profile);

    let (mut handling, offload) = handling(&plan, rings.waker(), deaths.is_reborn());
    let links = handling.links_to(&plan.parts, profile.gateway, rings.dialled());
    let secured = Secured::new(plan.tls.as_ref(), profile.tls.handshakes_max, offload);
    let mut opened = Shard {
        announcement: Some(announcement),
        rings,
        slots: Slots::new(plan.rings.ring.descriptors).starting_at(deaths.first_generation()),
        secured,
        wheel: Wheel::new(plan.rings.ring.descriptors, WHEEL_TICKS, WHEEL_TICK_MS),
        lookups: Default::default(),
        clients: ProxiedClients::new(plan.proxies),
        listeners: Vec::new(),
        channel: None,
        addresses: AddressCounts::default(),
        loop_delay: LoopDelay::new(&profile.overload),
        memory: MemoryState::new(memory_bytes_max(&profile.overload, plan.shards)),
        warnings: OverloadWarnings::new(),
        is_table_full: false,
        table_warning_due_ms: 0,
        backlog: 0,
        sender: plan.sender.take(),
        receiver: plan.receiver.take(),
        ring_fds: plan.ring_fds,
        hand_over: HandOver::of(&plan.control),
        control: plan.control,
        deaths,
        lost: Vec::new(),
        profile,
        handling,
        updates: plan.updates,
        shrinks: false,
        links,
        arrivals: Default::default(),
        held_send: None,
        leftover: Default::default(),
        stalled: Default::default(),
        rechecks: Default::default(),
        overflow: Default::default(),
        stalled_looks: 0,
        status_looks: 0,
        has_ticked: false,
        completions: Vec::new(),
        inbox: Vec::new(),
        expired: Vec::new(),
        clock: Box::new(|| Duration::ZERO),
        requests_until_us: 0,
        now_us: 0,
        now_ms: 0,
        turns: 0,
        worked_us: 0,
        yielded_us: 0,
        date_second: 0,
        drain: Drain::No,
        ending_below: 0,
        shedding_output: Default::default(),
        shedding_input: Default::default(),
    };
    begin_intake(&mut opened, plan.intake)?;
    Ok(opened)
}

/// Lets the first connections come.
fn begin_intake(opened: &mut Shard, intake: Intake) -> Result<(), ShardError> {
    match intake {
        Intake::Listeners(places, backlog) => {
            opened.accept_from(places.iter().map(Place::take).collect(), backlog);
        }
        Intake::Channel(socket) => {
            let shard = opened.handling.shard;
            // Of the only life of its shard.
            let channel = opened.open_channel(socket.take().into_inner());
            channel.map_err(|error| ShardError::Channel { shard, error })?;
        }
    }
    // A life before this one had others.
    opened.note_connections();
    Ok(())
}

/// The parts that the connections of the shard use; `waker` lets other threads wake the shard,
/// which has died before if it `is_reborn`.
fn handling(plan: &ShardPlan, waker: Waker, is_reborn: bool) -> (Handling, Rc<OffloadPort>) {
    let profile = &plan.profile;
    let meter = Rc::new(ShardMeter::on(plan.control.page.as_ref()));
    let wake_shard: Arc<dyn Fn() + Send + Sync> = Arc::new(move || waker.wake());
    let event_queue = EventQueue::new(Arc::clone(&wake_shard));
    let event_queue = Rc::new(event_queue.publishing_in(Arc::clone(&plan.control.activity)));
    let wake_for_access = Arc::clone(&wake_shard);
    let offload = Rc::new(OffloadPort::new(
        plan.offload.clone(),
        wake_shard,
        Rc::clone(&event_queue),
    ));
    let of = (plan.shard, plan.shards);
    let connections_max = plan.rings.ring.descriptors as usize;
    let settings = EndpointSettings::new(of, plan.parts.clone(), profile, connections_max);
    let mut endpoint = Endpoint::new(
        settings,
        Rc::clone(&event_queue),
        Rc::clone(&offload),
        Rc::clone(&meter),
    );
    let access = AccessControl::of_shard(
        plan.live.principal.clone(),
        plan.proxies.forwarding.clone(),
        plan.access.clone(),
        (profile, wake_for_access),
    )
    .recording(endpoint.audit_port());
    if let Some((policy, configuration)) = access.policy() {
        endpoint.handle_policy(Arc::clone(policy), configuration);
    }
    if let Some(limits) = access.limits() {
        endpoint.handle_limits(Arc::clone(limits));
    }
    if is_reborn {
        endpoint.follow_death();
    }
    let handling = Handling {
        endpoint,
        event_queue,
        meter,
        pool: BufferPool {
            input_bytes_max: profile.connection.input_bytes_max,
            ..BufferPool::default()
        },
        effects: StepEffects::default(),
        access,
        peers: Default::default(),
        rules: rules(plan),
        date: date_now(),
        shard: plan.shard,
        requests_per_connection: profile.budget.requests_per_connection_per_turn,
        requests_since_look: 0,
        is_draining: false,
        for_probes: Vec::new(),
        readiness: Arc::clone(&plan.control.readiness),
    };
    (handling, offload)
}

/// The settings that its connections share.
fn rules(plan: &ShardPlan) -> Rules {
    let (profile, live) = (&plan.profile, &plan.live);
    let http_settings = HttpSettings::of(&live.server);
    Rules {
        http: profile.http.limits(),
        lines: profile.lines,
        websocket: profile.websocket,
        connection: profile.connection,
        origins: live.origins.clone(),
        refusals: Throttle::new(REFUSAL_WARNING_INTERVAL_MS),
        foreign: Throttle::new(REFUSAL_WARNING_INTERVAL_MS),
        user_is_principal: plan.user_is_principal,
        cors: Cors::new(&live.origins, &http_settings, plan.parts.exposed.names()),
        http_settings,
    }
}
