//! Reloads: another profile, and the files that it names, while the server runs.
//!
//! Everything is read, built and checked before anything changes: the profile, the file of access
//! control, the certificates and the keys of request states. A knob that only a start applies
//! refuses the whole reload. Then the shards get the snapshot of access control and the settings,
//! each at its own turn, and a reload is over when the last shard uses both. If one does not in
//! time, the profile of before is put back.
//!
//! One reload at a time: the state is locked for all of it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use corelane_protocol::request_state::Sealer;

use super::addresses::{origin_policies, principal_header};
use super::error::{Error, Result};
use super::handle::ServerHandle;
use super::reload_result::{ReloadError, ReloadReport};
use super::state_keys::{self, OwnKey};
use super::upstreams::UpstreamReload;
use super::{AccessReload, CertificateReload, ClusterRequests, public};
use crate::live::Live;
use crate::log;
use crate::profile::{KnobChange, ListenAddress, OnReload, Profile, ShardProfile};
use crate::shard::ShardControl;
use crate::shard::memory::memory_bytes_max;

/// How long shards get to use other settings, unless the request gives a time: one that takes
/// longer is stuck or has no core.
pub(super) const ADOPTION_TIME: Duration = Duration::from_secs(1);
/// The same for a signal, whose sender waits for no answer.
const SIGNAL_ADOPTION_TIME: Duration = Duration::from_secs(10);
/// How long the profile of before is kept to be put back.
const PREVIOUS_KEPT: Duration = Duration::from_secs(60);

/// Reads a profile.
type Source = dyn Fn() -> Result<Profile> + Send + Sync;
/// Refuses a profile with a reason.
type Check = dyn Fn(&Profile) -> std::result::Result<(), String> + Send + Sync;

/// The parts of a program in its reloads.
#[derive(Clone)]
pub(super) struct ReloadHooks {
    /// The key of the process for states, without files.
    pub(super) key: OwnKey,
    /// Reads the profile again.
    pub(super) source: Option<Arc<Source>>,
    /// Refuses a profile.
    pub(super) check: Option<Arc<Check>>,
}

impl Default for ReloadHooks {
    fn default() -> ReloadHooks {
        ReloadHooks {
            key: OwnKey::random(),
            source: None,
            check: None,
        }
    }
}

/// A request for a reload.
#[derive(Debug, Clone)]
pub(super) struct ReloadRequest {
    pub(super) what: What,
    /// Nothing is to change.
    pub(super) is_check: bool,
    /// Whether to wait for a reload that is under way, and not to be refused.
    pub(super) waits: bool,
    /// How long the shards get.
    pub(super) within: Duration,
}

/// The profile of a reload.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// The source's.
    Source,
    /// That before the last reload.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "only the control socket puts one back")
    )]
    Previous,
    /// This one.
    Given(Box<Profile>),
}

impl Default for ReloadRequest {
    fn default() -> ReloadRequest {
        ReloadRequest {
            what: What::Source,
            is_check: false,
            waits: true,
            within: ADOPTION_TIME,
        }
    }
}

/// The files that a reload reads besides the profile.
#[derive(Debug, Default)]
pub(super) struct ReloadedFiles {
    pub(super) access: Option<AccessReload>,
    pub(super) certificates: Option<CertificateReload>,
    pub(super) upstreams: Option<UpstreamReload>,
    pub(super) cluster: Option<ClusterRequests>,
}

/// Reloads of one server.
pub(super) struct Reloader {
    hooks: ReloadHooks,
    files: ReloadedFiles,
    handle: ServerHandle,
    controls: Vec<Arc<ShardControl>>,
    addresses: Vec<ListenAddress>,
    /// How long probes of readiness are refused before the drain.
    drain_notice_ms: AtomicU64,
    state: Mutex<State>,
    /// The number of the reload that is under way.
    under_way: AtomicU64,
    /// A reload was requested by a signal and has not begun.
    is_requested: AtomicBool,
}

/// The settings in use.
struct State {
    profile: Profile,
    live: Arc<Live>,
    /// The profile before the last reload, and when it was replaced.
    previous: Option<(Instant, Profile)>,
}

/// Settings that were built and checked.
struct Next {
    profile: Profile,
    changes: Vec<KnobChange>,
    live: Arc<Live>,
}

impl Reloader {
    /// Reloads of a server with this profile and these settings.
    pub(super) fn new(
        (profile, hooks): (Profile, ReloadHooks),
        live: Arc<Live>,
        (handle, controls): (ServerHandle, Vec<Arc<ShardControl>>),
        addresses: Vec<ListenAddress>,
        files: ReloadedFiles,
    ) -> Arc<Reloader> {
        Arc::new(Reloader {
            hooks,
            files,
            handle,
            controls,
            addresses,
            drain_notice_ms: AtomicU64::new(profile.server.drain_notice_ms),
            state: Mutex::new(State {
                profile,
                live,
                previous: None,
            }),
            under_way: AtomicU64::new(0),
            is_requested: AtomicBool::new(false),
        })
    }

    /// How long probes of readiness are refused before the drain.
    pub(super) fn drain_notice(&self) -> Duration {
        Duration::from_millis(self.drain_notice_ms.load(Ordering::Relaxed))
    }

    /// Keeps reloads away for as long as the result lives.
    ///
    /// # Errors
    /// One is under way.
    pub(super) fn keep_away(&self) -> std::result::Result<impl Drop + '_, ReloadError> {
        let state = self.lock(false)?;
        match self.is_draining() {
            true => Err(ReloadError::Draining),
            false => Ok(state),
        }
    }

    /// Reloads soon, on a thread of its own: the result is logged. Requests that come before it
    /// begins are one.
    pub(super) fn request(self: &Arc<Reloader>) {
        if self.is_requested.swap(true, Ordering::Relaxed) {
            return;
        }
        let reloader = Arc::clone(self);
        let thread = thread::Builder::new().name("reload".to_owned());
        let spawned = thread.spawn(move || {
            let request = ReloadRequest {
                within: SIGNAL_ADOPTION_TIME,
                ..ReloadRequest::default()
            };
            let _ = reloader.reload_after(request, || {
                reloader.is_requested.store(false, Ordering::Relaxed);
            });
        });
        if let Err(error) = spawned {
            self.is_requested.store(false, Ordering::Relaxed);
            tracing::error!(%error, "the thread for a reload cannot be made");
        }
    }

    /// Reloads, and returns when every shard uses the other settings. The result is logged.
    ///
    /// # Errors
    /// Why nothing changed, or that a shard was too late.
    pub(super) fn reload(
        &self,
        request: ReloadRequest,
    ) -> std::result::Result<ReloadReport, ReloadError> {
        self.reload_after(request, || ())
    }

    fn reload_after(
        &self,
        request: ReloadRequest,
        begin: impl FnOnce(),
    ) -> std::result::Result<ReloadReport, ReloadError> {
        let mut state = self.lock(request.waits)?;
        begin();
        let generation = state.live.generation + 1;
        self.under_way.store(generation, Ordering::Relaxed);
        let result = self.reload_locked(&mut state, request);
        drop(state);
        match &result {
            Ok(report) => report.log(),
            Err(error) => tracing::error!(%error, "the reload changed nothing"),
        }
        result
    }

    fn lock(&self, waits: bool) -> std::result::Result<MutexGuard<'_, State>, ReloadError> {
        // A reload that panicked has changed nothing, or all: the state is set at its end.
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if waits => {
                Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Err(TryLockError::WouldBlock) => Err(ReloadError::UnderWay {
                generation: self.under_way.load(Ordering::Relaxed),
            }),
        }
    }

    fn reload_locked(
        &self,
        state: &mut State,
        request: ReloadRequest,
    ) -> std::result::Result<ReloadReport, ReloadError> {
        if self.is_draining() {
            return Err(ReloadError::Draining);
        }
        let profile = self.profile_of(state, request.what)?;
        let next = self.build(state, profile)?;
        let certificates = self.files.certificates.as_ref();
        let prepared = certificates
            .map(|it| it.prepare(&next.profile.tls))
            .transpose()?;
        if let Some(check) = &self.hooks.check {
            check(&next.profile).map_err(|reason| ReloadError::Program { reason })?;
        }
        let upstreams = self.files.upstreams.as_ref();
        let set = upstreams.map(|it| it.prepare(&next.profile)).transpose()?;
        let access = self.files.access.as_ref();
        let read = access.map(|it| it.read_again(&next.profile, request.is_check));
        let mut report = ReloadReport {
            generation: state.live.generation,
            is_check: request.is_check,
            not_applied: read.transpose()?.unwrap_or_default(),
            changed: next.changes.clone(),
            upstreams: Vec::new(),
            adopted_us: Vec::new(),
        };
        if let Some(set) = &set {
            report.upstreams.clone_from(&set.changes);
            if set.needs_start {
                report.not_applied.push("upstream".to_owned());
            }
        }
        if request.is_check {
            return Ok(report);
        }
        if let (Some(certificates), Some(prepared)) = (certificates, prepared) {
            certificates.apply(prepared);
        }
        if let (Some(upstreams), Some(set)) = (upstreams, set) {
            upstreams.apply(set)?;
        }
        report.generation = next.live.generation;
        report.adopted_us = self.publish(state, next, request.within)?;
        Ok(report)
    }

    /// The profile of a request.
    fn profile_of(&self, state: &State, what: What) -> std::result::Result<Profile, ReloadError> {
        let mut profile = match (what, &self.hooks.source, &state.previous) {
            (What::Given(profile), ..) => *profile,
            (What::Source, Some(source), _) => source()?,
            (What::Source, None, _) => {
                if self.files.access.is_none() && self.files.certificates.is_none() {
                    return Err(ReloadError::NothingToRead);
                }
                state.profile.clone()
            }
            (What::Previous, _, Some((replaced, profile)))
                if replaced.elapsed() < PREVIOUS_KEPT =>
            {
                profile.clone()
            }
            (What::Previous, ..) => return Err(ReloadError::NoPrevious),
        };
        if state.profile.server.stdio {
            // As the start on standard input and output does.
            profile.server.stdio = true;
            profile.server.shards = state.profile.server.shards;
        }
        Ok(profile)
    }

    /// Builds the settings of a profile, and checks everything about it.
    fn build(&self, state: &State, profile: Profile) -> std::result::Result<Next, ReloadError> {
        profile.validate().map_err(Error::from)?;
        public::check(&profile)?;
        let changes = state.profile.changes_to(&profile);
        let is_refused = |change: &&KnobChange| change.on_reload == OnReload::Restart;
        let refused: Vec<KnobChange> = changes.iter().filter(is_refused).cloned().collect();
        if !refused.is_empty() {
            return Err(ReloadError::Refused { refused });
        }
        let present = &*state.live;
        let files = &profile.server.state_key_files;
        let sealer = state_keys::sealer(files, &self.hooks.key).map_err(Error::from)?;
        let sealer = Arc::new(sealer);
        if let Some(cluster) = &self.files.cluster {
            let of_keys = |text| Error::Public(format!("server.state_key_files: {text}"));
            cluster.check_keys(&sealer).map_err(of_keys)?;
        }
        let shards = present.shards.iter();
        let shards = shards.map(|shard| Live::shard_profile(shard, &profile));
        let shards: Vec<ShardProfile> = shards.collect();
        let generation = present.generation + 1;
        let live = live_of((&profile, generation), &shards, &self.addresses, &sealer)?;
        Ok(Next {
            profile,
            changes,
            live,
        })
    }

    /// Leaves settings for the shards and waits for them.
    fn publish(
        &self,
        state: &mut State,
        next: Next,
        within: Duration,
    ) -> std::result::Result<Vec<u64>, ReloadError> {
        let updates = self.handle.updates();
        let live = next.live;
        let barrier = updates.publish(&live).ok_or(ReloadError::Draining)?;
        match barrier.wait(within) {
            Ok(adopted_us) => {
                if let Some(cluster) = &self.files.cluster {
                    cluster.set_keys(&live.sealer);
                }
                log::follow(&next.profile.log);
                let server = &next.profile.server;
                for control in &self.controls {
                    control.set_drain_timeout_ms(server.drain_timeout_ms);
                }
                self.drain_notice_ms
                    .store(server.drain_notice_ms, Ordering::Relaxed);
                let before = std::mem::replace(&mut state.profile, next.profile);
                if !next.changes.is_empty() {
                    state.previous = Some((Instant::now(), before));
                }
                state.live = live;
                Ok(adopted_us)
            }
            Err(shards) => {
                let mut before = Live::clone(&state.live);
                before.generation = live.generation + 1;
                state.live = Arc::new(before);
                if let Some(access) = &self.files.access {
                    // For the paths and the header of before. Its faults were logged.
                    let _ = access.read_again(&state.profile, false);
                }
                updates.publish(&state.live);
                Err(ReloadError::Late { shards, within })
            }
        }
    }

    fn is_draining(&self) -> bool {
        let first = self.controls.first();
        first.is_none_or(|shard| shard.readiness.is_leaving.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reloader")
            .field("has_source", &self.hooks.source.is_some())
            .finish_non_exhaustive()
    }
}

/// The settings of a profile with this number, for shards with these knobs and listeners on these
/// addresses.
pub(super) fn live_of(
    (profile, generation): (&Profile, u64),
    shards: &[ShardProfile],
    addresses: &[ListenAddress],
    sealer: &Arc<Sealer>,
) -> Result<Arc<Live>> {
    Ok(Arc::new(Live {
        generation,
        memory_bytes_max: memory_bytes_max(&profile.overload, shards.len() as u16),
        shards: shards.to_vec(),
        server: profile.server.clone(),
        origins: origin_policies(addresses, profile)?,
        principal: principal_header(profile),
        sealer: Arc::clone(sealer),
    }))
}
