//! The tuning profile: every knob of the engine, with its unit, range, default and reason.
//!
//! Invariant: a [`Profile`] from [`Profile::from_file`] or [`Profile::from_toml`] is valid. A knob
//! is declared once, with its reason, type, default and range; `tuning/reference.toml` is written
//! from that, and the profiles under `tuning/profiles` contain only their differences from it. An
//! unknown key is an error, never ignored.
//!
//! It deliberately lacks arguments, environment variables, tools, upstream servers and secrets.

mod admin;
mod audit;
mod auth;
mod check;
mod cluster;
pub mod cores;
pub mod descriptors;
mod error;
mod gateway;
mod knobs;
mod limits;
mod lines;
mod links;
mod listen;
pub(crate) mod memory;
mod metrics;
mod overload;
mod probe;
mod reference;
mod relations;
mod reload;
mod role;
mod roles;
mod sections;
mod server;
mod settings;
mod shard;
mod supervision;
mod tls;
mod traffic;
mod unix;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use admin::Admin;
pub use audit::Audit;
pub use auth::Auth;
pub use cluster::Cluster;
pub use cores::CoreList;
pub use error::ProfileError;
pub use gateway::Gateway;
pub use limits::ClientLimits;
pub(crate) use links::LinkShare;
pub use listen::{Binding, ListenAddress, ListenAddressError, Transport, UnixName};
pub use listen::{LISTENERS_MAX, UNIX_NAME_BYTES_MAX};
pub use metrics::{Metrics, Trace};
pub use overload::Overload;
pub(crate) use probe::Probe;
pub use reload::{KnobChange, OnReload};
pub use role::CoreRole;
pub use sections::{Calls, Catalog, Lanes, Offload, Sessions, Streams, Tasks, Tools};
pub(crate) use server::messages_path;
pub use server::{
    ALLOWED_BYTES_MAX, ALLOWED_MAX, ENDPOINT_BYTES_MAX, ENDPOINTS_MAX, HEADER_NAME_BYTES_MAX, Paths,
};
pub use server::{Log, LogFormat, LogLevel, Pin, SHARDS_MAX, Server};
pub use shard::{Budget, BudgetOverride, CoreProfile, Executor, ExecutorOverride};
pub use shard::{Ring, RingOverride};
pub use supervision::Supervision;
pub use tls::{CertificateFiles, ClientCertificates, TLS_FILES_MAX, Tls, TlsLimits, TlsVersion};
pub use traffic::{Connection, Http, Json, Lines, WebSocket};
pub use unix::{FileMode, FileModeError, Unix};

use corelane_io::rings::{RINGS_MAX, RingsSettings};
use cores::CoreError;
use knobs::Section;
use relations::{RELATIONS, check_turn};

/// Longest profile file that is read, in bytes. The complete production profile is some 8 KiB.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Most `[[core]]` sections in one profile.
pub const CORE_SECTIONS_MAX: usize = cores::CORE_ID_MAX + 1;

/// Every knob of one process.
///
/// All sections and all knobs are optional in the file; an absent one has its default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The address of the process, access to it, and the number of shards.
    pub server: Server,
    /// The files of Unix sockets.
    pub unix: Unix,
    /// The socket ring of a shard.
    pub ring: Ring,
    /// The executor of a shard.
    pub executor: Executor,
    /// The work that one turn of a shard may do before other work continues.
    pub budget: Budget,
    /// Access control.
    pub auth: Auth,
    /// Limits on clients.
    pub limits: ClientLimits,
    /// Actions against overload.
    pub overload: Overload,
    /// Deadlines and byte bounds of one connection.
    pub connection: Connection,
    /// Listeners with TLS.
    pub tls: Tls,
    /// Bounds on one HTTP request.
    pub http: Http,
    /// Connections with one message on each line.
    pub lines: Lines,
    /// WebSocket connections.
    pub websocket: WebSocket,
    /// Bounds on one JSON message.
    pub json: Json,
    /// Calls in flight.
    pub calls: Calls,
    /// Limits of single tools.
    pub tools: Tools,
    /// Sessions of the legacy era.
    pub sessions: Sessions,
    /// Streams of server-sent events.
    pub streams: Streams,
    /// Tasks: requests whose results are fetched later.
    pub tasks: Tasks,
    /// Capacities of the queues between two shards.
    pub lanes: Lanes,
    /// The thread pool for blocking handlers.
    pub offload: Offload,
    /// The catalog's list pages.
    pub catalog: Catalog,
    /// Links to upstreams.
    pub gateway: Gateway,
    /// A node of a cluster.
    pub cluster: Cluster,
    /// Restarts of shards that fail, and stalls.
    pub supervision: Supervision,
    /// The audit log.
    pub audit: Audit,
    /// The log of the process.
    pub log: Log,
    /// The listener for metrics.
    pub metrics: Metrics,
    /// The control socket.
    pub admin: Admin,
    /// Spans of requests.
    pub trace: Trace,
    /// Different values on single cores.
    pub core: Vec<CoreProfile>,
}

/// The knobs of one shard, with the overrides of its core applied: plain data, which crosses to the
/// thread of the shard by copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShardProfile {
    /// The core the shard is pinned to.
    pub core_id: usize,
    /// See [`Ring`].
    pub ring: Ring,
    /// See [`Executor`].
    pub executor: Executor,
    /// See [`Budget`].
    pub budget: Budget,
    /// See [`Auth`].
    pub auth: Auth,
    /// See [`ClientLimits`].
    pub limits: ClientLimits,
    /// See [`Overload`].
    pub overload: Overload,
    /// See [`Connection`].
    pub connection: Connection,
    /// See [`Tls`].
    pub tls: TlsLimits,
    /// See [`Http`].
    pub http: Http,
    /// See [`Lines`].
    pub lines: Lines,
    /// See [`WebSocket`].
    pub websocket: WebSocket,
    /// See [`Json`].
    pub json: Json,
    /// See [`Calls`].
    pub calls: Calls,
    /// See [`Tools`].
    pub tools: Tools,
    /// See [`Sessions`].
    pub sessions: Sessions,
    /// See [`Streams`].
    pub streams: Streams,
    /// See [`Tasks`].
    pub tasks: Tasks,
    /// See [`Lanes`].
    pub lanes: Lanes,
    /// See [`Catalog`].
    pub catalog: Catalog,
    /// See [`Gateway`].
    pub gateway: Gateway,
}

impl ShardProfile {
    /// The rings of the shard, where the limit on open files allows one ring `allowed` sockets: as
    /// many as its sockets need, and [`RINGS_MAX`] at most.
    pub(crate) fn rings(&self, allowed: u32) -> RingsSettings {
        let descriptors = self.ring.descriptors.unwrap_or(allowed);
        let descriptors = descriptors.min(allowed.saturating_mul(RINGS_MAX));
        RingsSettings {
            ring: self.ring.settings(descriptors),
            ring_descriptors_max: allowed,
        }
    }

    /// The same knobs for a shard that serves one connection and has no listener: no ring is larger
    /// than such a shard can use. An ordinary user may lock 8 MiB of memory in all, which must do
    /// for the servers of several clients.
    pub(crate) fn for_one_connection(mut self) -> ShardProfile {
        /// Each of them fills one page of locked memory.
        const SUBMISSIONS: u32 = 64;
        const COMPLETIONS: u32 = 128;
        const BUFFERS: u32 = 256;
        const EXECUTOR_RING_DEPTH: u32 = 64;
        /// Places for the connection and its listen streams. A table as large as the limit on open
        /// files is for listeners.
        const DESCRIPTORS: u32 = 1024;

        let ring = &mut self.ring;
        ring.submission_entries = ring.submission_entries.min(SUBMISSIONS);
        ring.completion_entries = ring.completion_entries.min(COMPLETIONS);
        ring.buffer_count = ring.buffer_count.min(BUFFERS);
        ring.descriptors = ring.descriptors.or(Some(DESCRIPTORS));
        // The only connection has no network card.
        ring.busy_poll_us = 0;
        let turn = &mut self.budget.completions_per_turn;
        *turn = (*turn).min(COMPLETIONS);
        self.executor.ring_depth = self.executor.ring_depth.min(EXECUTOR_RING_DEPTH);
        self.executor.io_memory_bytes = Executor::default().io_memory_bytes;
        self
    }
}

impl Profile {
    /// Reads and validates the profile in the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read or is longer than [`FILE_BYTES_MAX`]; and all of
    /// [`Profile::from_toml`], each with the path in front.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ProfileError> {
        let path = path.as_ref();
        let in_file = |source| ProfileError::File {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let text = read_bounded(path).map_err(in_file)?;
        Self::from_toml(&text).map_err(in_file)
    }

    /// Parses and validates the profile in `text`.
    ///
    /// # Errors
    /// The text is not TOML, or names a key that does not exist or has another type: the error
    /// has the line, the column, the key and its range. A value is out of range or contradicts
    /// another one: see [`Profile::validate`]; the error has the lines of both.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let parsed = toml::Deserializer::parse(text);
        let parsed = parsed.map_err(|source| ProfileError::syntax(text, &source, None))?;
        let profile: Self = serde_path_to_error::deserialize(parsed).map_err(|error| {
            let key = error.path().to_string();
            let allowed = allowed_numbers(&key);
            ProfileError::syntax(text, error.inner(), Some((&key, allowed)))
        })?;
        let valid = profile.validate();
        valid.map_err(|error| error.at_lines(text))?;
        Ok(profile)
    }

    /// Checks every value against its range and the relations between values.
    ///
    /// # Errors
    /// The first wrong value, with its key and the allowed values.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let mut sections = self.sections().into_iter();
        sections.try_for_each(|section| section.check(section.name()))?;
        self.server.check_texts()?;
        self.tls.check_lists()?;
        self.cluster.check_needs(&self.server, &self.sessions)?;
        self.check_relations()?;
        self.check_cores()
    }

    /// The knobs of a shard on core `core_id`: the profile with that core's overrides applied.
    ///
    /// Several shards on one core have the same knobs.
    #[must_use]
    pub fn for_core(&self, core_id: usize) -> ShardProfile {
        let own = self.core.iter().find(|core| core.id == core_id);
        ShardProfile {
            core_id,
            ring: own.map_or(self.ring, |core| core.ring.over(self.ring)),
            executor: own.map_or(self.executor, |core| core.executor.over(self.executor)),
            budget: own.map_or(self.budget, |core| core.budget.over(self.budget)),
            auth: self.auth,
            limits: self.limits,
            overload: self.overload,
            connection: self.connection,
            tls: self.tls.limits(),
            http: self.http,
            lines: self.lines,
            websocket: self.websocket,
            json: self.json,
            calls: self.calls,
            tools: self.tools,
            sessions: self.sessions,
            streams: self.streams,
            tasks: self.tasks,
            lanes: self.lanes,
            catalog: self.catalog,
            gateway: self.gateway,
        }
    }

    /// The knobs of a shard on core `core_id` of the server that this profile is for.
    pub(crate) fn shard_on(&self, core_id: usize) -> ShardProfile {
        let shard = self.for_core(core_id);
        match self.server.stdio {
            true => shard.for_one_connection(),
            false => shard,
        }
    }

    /// The core of each shard: of those that the calling thread may run on and that have no other
    /// role. A profile that is valid may have none on this machine. By default there are no more
    /// shards than the CPU quota of the control group has cores.
    ///
    /// ```
    /// let cores = corelane::Profile::default().choose_cores().expect("there is a core");
    /// assert!(!cores.is_empty());
    /// ```
    ///
    /// # Errors
    /// A core of the profile is not available, or none is left for a shard.
    pub fn choose_cores(&self) -> Result<Vec<usize>, CoreError> {
        let free = self.cores_for_shards()?;
        let free = (&free, cores::parallelism());
        cores::choose_from(self.server.cores.as_ref(), self.server.shards, free)
    }

    /// All sections of knobs, in the order of the reference.
    fn sections(&self) -> [&dyn Section; 30] {
        [
            &self.server,
            &self.unix,
            &self.ring,
            &self.executor,
            &self.budget,
            &self.auth,
            &self.limits,
            &self.overload,
            &self.connection,
            &self.tls,
            &self.http,
            &self.lines,
            &self.websocket,
            &self.json,
            &self.calls,
            &self.tools,
            &self.sessions,
            &self.streams,
            &self.tasks,
            &self.lanes,
            &self.offload,
            &self.catalog,
            &self.gateway,
            &self.cluster,
            &self.supervision,
            &self.audit,
            &self.log,
            &self.metrics,
            &self.admin,
            &self.trace,
        ]
    }

    /// A profile in which each knob has its default, and a comment with its reason and range.
    #[must_use]
    pub fn reference() -> String {
        let defaults = Self::default();
        let values = toml::Table::try_from(&defaults).unwrap_or_default();
        reference::reference(&defaults.sections(), &values)
    }

    /// The value of the knob with this key, if it is a number and set.
    fn number(&self, key: &str) -> Option<u64> {
        let (section, at) = self.find(key)?;
        section.numbers()[at]
    }

    /// The knob with this key: its section and its place in it.
    fn find(&self, key: &str) -> Option<(&dyn Section, usize)> {
        let (section, knob) = key.split_once('.')?;
        let mut sections = self.sections().into_iter();
        let section = sections.find(|it| it.name() == section)?;
        let at = section.knobs().iter().position(|it| it.name == knob)?;
        Some((section, at))
    }

    /// The values keep the relations between knobs.
    fn check_relations(&self) -> Result<(), ProfileError> {
        for &(times, key, other) in RELATIONS {
            if let (Some(value), Some(other_value)) = (self.number(key), self.number(other)) {
                check::at_most(times, (key, value), (other, other_value))?;
            }
        }
        check_turn("", &self.budget, &self.ring)
    }

    /// Each core is tuned once, is used, and its knobs are as valid as the shared ones.
    fn check_cores(&self) -> Result<(), ProfileError> {
        check::count("core sections", self.core.len(), CORE_SECTIONS_MAX)?;
        for (index, core) in self.core.iter().enumerate() {
            let id = core.id;
            check::count("core.id", id, cores::CORE_ID_MAX)?;
            if self.core[..index].iter().any(|other| other.id == id) {
                return Err(ProfileError::CoreTunedTwice { id });
            }
            let used = self.server.cores.as_ref();
            let is_shard = core.role == CoreRole::Shard;
            if is_shard && used.is_some_and(|cores| !cores.as_slice().contains(&id)) {
                return Err(ProfileError::CoreUnused { id });
            }
            core.check_role(used.is_some_and(|cores| cores.as_slice().contains(&id)))?;
            let resolved = self.for_core(id);
            let (ring, executor, budget) = (resolved.ring, resolved.executor, resolved.budget);
            ring.check(&format!("core {id} ring"))?;
            executor.check(&format!("core {id} executor"))?;
            budget.check(&format!("core {id} budget"))?;
            check_turn(&format!("core {id} "), &budget, &ring)?;
        }
        Ok(())
    }
}

/// The numbers that the knob with this key takes, also of a `[[core]]` section (`core[0].ring.x`);
/// nothing if there is no such knob or it is not a number.
fn allowed_numbers(key: &str) -> Option<String> {
    let key = match key.split_once("].") {
        Some((core, "id")) if core.starts_with("core[") => {
            return Some(format!("0 to {}", cores::CORE_ID_MAX));
        }
        Some((core, key)) if core.starts_with("core[") => key,
        _ => key,
    };
    let defaults = Profile::default();
    let (section, at) = defaults.find(key)?;
    reference::allowed_text(&section.knobs()[at].allowed)
}

/// The text of the file, refused past [`FILE_BYTES_MAX`] without reading the rest.
fn read_bounded(path: &Path) -> Result<String, ProfileError> {
    let mut text = String::new();
    let file = File::open(path).map_err(ProfileError::Read)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(ProfileError::Read)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ProfileError::FileTooLong {
            bytes_max: FILE_BYTES_MAX,
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
