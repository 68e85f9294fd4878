//! The tuning profile: every knob of the engine, with its unit, range, default and reason.
//!
//! Invariant: a [`Profile`] that came out of [`Profile::from_file`] or [`Profile::from_toml`] is
//! valid, and the default of a knob is written once, in the `Default` of its section. The TOML
//! files under `tuning/profiles` name the same keys; an unknown key is an error, never ignored.
//!
//! What this room lacks on purpose: command-line arguments, environment variables, reloading, and
//! everything that is not tuning (tools, upstream servers, secrets live in the configuration).

mod check;
pub mod cores;
pub mod descriptors;
mod error;
mod sections;
mod server;
mod shard;
mod tasks;
mod traffic;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use cores::CoreList;
pub use error::ProfileError;
pub use sections::{Calls, Catalog, Lanes, Offload, Sessions, Streams};
pub use server::SHARDS_MAX;
pub use server::{ALLOWED_BYTES_MAX, ALLOWED_MAX, ENDPOINT_BYTES_MAX, HEADER_NAME_BYTES_MAX};
pub use server::{Log, LogFormat, LogLevel, Server};
pub use shard::{Budget, BudgetOverride, CoreProfile, Executor, ExecutorOverride};
pub use shard::{Ring, RingOverride};
pub use tasks::Tasks;
pub use traffic::{Connection, Http, Json};

use check::Section;

/// Longest profile file that is read, in bytes. The complete production profile is some 8 KiB.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Most `[[core]]` sections in one profile.
pub const CORE_SECTIONS_MAX: usize = cores::CORE_ID_MAX + 1;

/// Every knob of one process.
///
/// All sections and all knobs are optional in the file; what is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Where the process listens, who may speak to it, how many shards it has.
    pub server: Server,
    /// The socket ring of a shard.
    pub ring: Ring,
    /// The executor of a shard.
    pub executor: Executor,
    /// How much one turn of a shard may do before others get theirs.
    pub budget: Budget,
    /// Deadlines and byte bounds of one connection.
    pub connection: Connection,
    /// Bounds on one HTTP request.
    pub http: Http,
    /// Bounds on one JSON message.
    pub json: Json,
    /// Calls in flight.
    pub calls: Calls,
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
    /// What the process writes about itself.
    pub log: Log,
    /// What deviates on single cores.
    pub core: Vec<CoreProfile>,
}

/// The knobs of one shard, with the overrides of its core applied.
///
/// Plain data, so that it crosses to the shard's thread by copy when the shard starts.
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
    /// See [`Connection`].
    pub connection: Connection,
    /// See [`Http`].
    pub http: Http,
    /// See [`Json`].
    pub json: Json,
    /// See [`Calls`].
    pub calls: Calls,
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
    /// has the line, the column and the key. A value is out of range: see [`Profile::validate`].
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let profile: Self =
            toml::from_str(text).map_err(|source| ProfileError::syntax(text, &source))?;
        profile.validate()?;
        Ok(profile)
    }

    /// Checks every value against its range and the relations between values.
    ///
    /// # Errors
    /// The first value that is wrong, with its key and what is allowed.
    pub fn validate(&self) -> Result<(), ProfileError> {
        self.server.check()?;
        self.ring.check(&Section::named("ring"))?;
        self.executor.check(&Section::named("executor"))?;
        self.budget.check(&Section::named("budget"))?;
        self.connection.check()?;
        self.http.check()?;
        self.json.check()?;
        self.calls.check()?;
        self.sessions.check()?;
        self.streams.check()?;
        self.tasks.check()?;
        self.lanes.check()?;
        self.offload.check()?;
        self.catalog.check()?;
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
            connection: self.connection,
            http: self.http,
            json: self.json,
            calls: self.calls,
            sessions: self.sessions,
            streams: self.streams,
            tasks: self.tasks,
            lanes: self.lanes,
            catalog: self.catalog,
        }
    }

    /// Relations between knobs of different sections; those within one section are its own.
    fn check_relations(&self) -> Result<(), ProfileError> {
        // A shard drains its connections one linger each; a longer linger would outlive the drain.
        Section::named("connection").at_most(
            ("linger_timeout_ms", self.connection.linger_timeout_ms),
            ("server.drain_timeout_ms", self.server.drain_timeout_ms),
        )?;
        // Two of the largest requests must fit, or none of them ever would beside another.
        Section::named("http").at_most(
            ("body_bytes_max", self.http.body_bytes_max.saturating_mul(2)),
            (
                "connection.input_bytes_max",
                self.connection.input_bytes_max,
            ),
        )?;
        // The arguments of one call must fit beside those of another.
        Section::named("http").at_most(
            ("body_bytes_max", self.http.body_bytes_max.saturating_mul(2)),
            ("calls.bytes_max", self.calls.bytes_max),
        )?;
        // A pipelined head has to fit whole, or a connection could wait for itself.
        Section::named("http").at_most(
            ("head_bytes_max", self.http.head_bytes_max),
            (
                "connection.pipelined_bytes_max",
                self.connection.pipelined_bytes_max,
            ),
        )?;
        // A stream's own keep-alives are what tells an idle stream from a dead peer.
        let keep_alive = ("keep_alive_ms", self.streams.keep_alive_ms);
        Section::named("streams").at_most(
            keep_alive,
            (
                "connection.idle_timeout_ms",
                self.connection.idle_timeout_ms,
            ),
        )?;
        Section::named("streams").at_most(
            keep_alive,
            ("sessions.idle_timeout_ms", self.sessions.idle_timeout_ms),
        )?;
        check_turn(&Section::named("budget"), &self.budget, &self.ring)
    }

    /// Each core is tuned once, is used, and its knobs are as valid as the shared ones.
    fn check_cores(&self) -> Result<(), ProfileError> {
        let sections = ("core sections", self.core.len());
        Section::named("").range(sections.0, sections.1, 0..=CORE_SECTIONS_MAX as u64)?;
        for (index, core) in self.core.iter().enumerate() {
            let id = core.id;
            Section::named("core").range("id", id, 0..=cores::CORE_ID_MAX as u64)?;
            if self.core[..index].iter().any(|other| other.id == id) {
                return Err(ProfileError::CoreTunedTwice { id });
            }
            let used = self.server.cores.as_ref();
            if used.is_some_and(|cores| !cores.as_slice().contains(&id)) {
                return Err(ProfileError::CoreUnused { id });
            }
            let resolved = self.for_core(id);
            let section = |name: &str| Section::named(format!("core {id} {name}"));
            resolved.ring.check(&section("ring"))?;
            resolved.executor.check(&section("executor"))?;
            resolved.budget.check(&section("budget"))?;
            check_turn(&section("budget"), &resolved.budget, &resolved.ring)?;
        }
        Ok(())
    }
}

/// A turn cannot reap more completions than the ring can hold.
fn check_turn(section: &Section, budget: &Budget, ring: &Ring) -> Result<(), ProfileError> {
    section.at_most(
        ("completions_per_turn", budget.completions_per_turn),
        ("ring.completion_entries", ring.completion_entries),
    )
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
