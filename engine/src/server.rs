//! A server: built, started on its shards, and drained.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::sync::mpsc;
use std::time::Duration;

use corelane_protocol::mcp::lifecycle::{Feature, ServerDescription};

use crate::catalog::Entries;
use crate::catalog::prompt::Prompt;
use crate::catalog::resource::{Resource, ResourceTemplate};
use crate::catalog::tool::Tool;
use crate::files::DirectoryLimits;
use crate::handler::state::StateMaker;
use crate::profile::{CoreRole, ListenAddress, Profile, ShardProfile};
use crate::shard::kept::Place;
use crate::shard::lives::Lives;
use crate::shard::proxied::Proxies;
use crate::shard::{Intake, ShardControl, ShardPlan};
use crate::transport::listener::{ListenOptions, Listeners, listen};

#[cfg(feature = "auth")]
mod access;
mod addresses;
#[cfg(feature = "metrics")]
mod admin;
mod administered;
mod affinity;
mod announced;
#[cfg(feature = "auth")]
mod audited;
mod capacity;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "cluster")]
mod cluster;
mod directory;
mod entry_names;
mod error;
mod event;
#[cfg(feature = "metrics")]
mod figures;
mod handing_over;
mod handle;
#[cfg(feature = "metrics")]
mod history;
#[cfg(feature = "metrics")]
mod host_facts;
mod huge_pages;
mod inherited;
mod joining;
#[cfg(feature = "metrics")]
mod metrics;
mod parts;
mod pinning;
mod public;
#[cfg(feature = "auth")]
mod quotas;
#[cfg(feature = "auth")]
mod recorded;
#[cfg(feature = "metrics")]
mod records;
mod reload;
mod reload_result;
#[cfg(feature = "metrics")]
mod reload_rows;
mod reloading;
mod run;
mod running;
#[cfg(feature = "auth")]
mod sections;
#[cfg(feature = "metrics")]
mod shard_row;
mod signals;
#[cfg(feature = "metrics")]
mod spans;
mod stalls;
mod state_keys;
mod stdio;
mod successor;
mod supervisor;
mod systemd;
mod talk;
mod test_client;
mod upgrade;
#[cfg(feature = "metrics")]
mod upgrade_request;
mod upgrade_result;
mod upstream_error;
mod upstreams;
#[cfg(not(feature = "auth"))]
mod without_audit;
#[cfg(not(feature = "auth"))]
mod without_auth;
#[cfg(not(feature = "cluster"))]
mod without_cluster;
#[cfg(not(feature = "metrics"))]
mod without_metrics;
#[cfg(not(feature = "tls"))]
mod without_tls;

#[cfg(feature = "auth")]
use access::{AccessReload, ServerAccess};
#[cfg(feature = "metrics")]
use admin::{AdminListener, BoundAdmin};
use affinity::{Confined, start_pool};
#[cfg(feature = "auth")]
use audited::{AuditThread, Audited, log_of};
use capacity::{allowed_descriptors, capacity_of};
#[cfg(feature = "tls")]
use certificates::{CertificateReload, Certificates};
#[cfg(feature = "cluster")]
use cluster::{ClusterRequests, ClusterStart, ClusterThread};
use directory::ServedDirectory;
pub use error::{Error, Result};
pub use handle::ServerHandle;
use huge_pages::SmallPages;
use inherited::Inherited;
#[cfg(feature = "metrics")]
use metrics::{MetricsListener, page_settings};
use pinning::Pinning;
#[cfg(feature = "metrics")]
use records::{RecordThread, SlowRequests};
use reload::{ReloadHooks, live_of};
pub use reload_result::{ReloadError, ReloadReport, UpstreamChange, UpstreamChangeKind};
pub use running::RunningServer;
pub use state_keys::{StateKeyError, check_state_keys};
use supervisor::Supervisor;
pub use test_client::{Reply, TestClient, TestClientError, TestResult};
pub use upstream_error::UpstreamError;
use upstreams::{ServedUpstream, links_of, required_of};
#[cfg(not(feature = "auth"))]
use without_audit::{AuditThread, Audited, log_of};
#[cfg(not(feature = "auth"))]
use without_auth::{AccessReload, ServerAccess};
#[cfg(not(feature = "cluster"))]
use without_cluster::{ClusterRequests, ClusterStart, ClusterThread};
#[cfg(not(feature = "metrics"))]
use without_metrics::{
    AdminListener, BoundAdmin, MetricsListener, RecordThread, SlowRequests, page_settings,
};
#[cfg(not(feature = "tls"))]
use without_tls::{CertificateReload, Certificates};

/// An MCP server: its description and its catalog.
///
/// One catalog serves both eras of the protocol, every transport and every shard.
pub struct Server {
    description: ServerDescription,
    entries: Entries,
    handle: ServerHandle,
    directories: Vec<ServedDirectory>,
    exposed_headers: Vec<String>,
    states: Vec<StateMaker>,
    audited: Audited,
    upstreams: Vec<ServedUpstream>,
    launcher: Option<PathBuf>,
    reload_hooks: ReloadHooks,
    /// Of the process that this one takes over from.
    inherited: Option<Inherited>,
}

impl Server {
    /// A server called `name`, in its own version `version`.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Server {
        Server {
            description: ServerDescription {
                name: name.into(),
                version: version.into(),
                ..ServerDescription::default()
            },
            entries: Entries::default(),
            handle: ServerHandle::default(),
            directories: Vec::new(),
            exposed_headers: Vec::new(),
            states: Vec::new(),
            audited: Audited::default(),
            upstreams: Vec::new(),
            launcher: None,
            reload_hooks: ReloadHooks::default(),
            inherited: None,
        }
    }

    /// Sets the name for people.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Server {
        self.description.title = Some(title.into());
        self
    }

    /// Sets the hints to the model on how to use the server.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Server {
        self.description.instructions = Some(instructions.into());
        self
    }

    /// Adds a tool. All shards share its function; its futures stay on the shard that owns the call
    /// and need not be `Send`.
    #[must_use]
    pub fn with_tool(mut self, tool: Tool) -> Server {
        self.entries.tools.push(tool);
        self
    }

    /// Adds a resource.
    #[must_use]
    pub fn with_resource(mut self, resource: Resource) -> Server {
        self.entries.resources.push(resource);
        self
    }

    /// Adds a family of resources.
    #[must_use]
    pub fn with_template(mut self, template: ResourceTemplate) -> Server {
        self.entries.templates.push(template);
        self
    }

    /// Serves the files of a directory as resources `uri_prefix` followed by their path, such as
    /// `docs://` and `guide/start.md`; `name` is the name of the template.
    ///
    /// No request leads out of the directory, for any path and any change of the directory
    /// meanwhile. Clients that subscribed are notified of changes.
    ///
    /// # Errors
    /// [`Error::Directory`] when the directory cannot be opened and listed, [`Error::Catalog`] when
    /// the prefix is no start of a URI, [`Error::DirectoryOverlaps`] when the prefix of another
    /// directory begins with it or the other way round. A resource of the server may not begin with
    /// it either, which is found when the server starts.
    pub fn with_directory(
        mut self,
        uri_prefix: impl Into<String>,
        name: &str,
        path: impl AsRef<Path>,
        limits: DirectoryLimits,
    ) -> Result<Server> {
        let served = ServedDirectory::open(uri_prefix.into(), path.as_ref(), limits)?;
        served.check_apart(&self.directories, &[])?;
        self.entries.templates.push(served.template(name));
        self.directories.push(served);
        Ok(self)
    }

    /// Adds a prompt.
    #[must_use]
    pub fn with_prompt(mut self, prompt: Prompt) -> Server {
        self.entries.prompts.push(prompt);
        self
    }

    /// Allows hidden characters in names, titles and descriptions, such as marks for text from
    /// right to left. Without this, a server with such a text does not start: a person would review
    /// another text than the model reads.
    #[must_use]
    pub fn allow_hidden_characters(mut self) -> Server {
        self.entries.allows_hidden = true;
        self
    }

    /// Offers a feature that has no entry yet, so that clients use it when [`Server::handle`] adds
    /// one. Without this a feature is offered from its first entry on, and a client that connected
    /// before does not know of it. A feature that has been offered stays so.
    ///
    /// ```
    /// use corelane::{Feature, Server};
    ///
    /// let server = Server::new("grows", "1.0.0").with_feature(Feature::Prompts);
    /// let handle = server.handle();
    /// ```
    #[must_use]
    pub fn with_feature(mut self, feature: Feature) -> Server {
        self.entries.offer.insert(feature);
        self
    }

    /// Lets handlers see a header of the requests they serve, in both eras, with
    /// [`Call::header`](crate::Call::header); they see no other. At most
    /// [`EXPOSED_HEADERS_MAX`](crate::EXPOSED_HEADERS_MAX); a wrong name is found when the server
    /// starts.
    ///
    /// A client can send any value, unless a proxy in front sets the header. For the principal use
    /// [`Call::principal`](crate::Call::principal).
    ///
    /// ```
    /// # use corelane::{Call, Server, Tool};
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Nothing {}
    /// let server = Server::new("tenants", "1.0.0")
    ///     .with_exposed_header("x-tenant")
    ///     .with_tool(Tool::new("where_am_i", "Tenant.", async |call: &Call, _: Nothing| {
    ///         Ok(call.header("x-tenant").unwrap_or_else(|| "nowhere".to_owned()))
    ///     }));
    /// ```
    #[must_use]
    pub fn with_exposed_header(mut self, name: impl Into<String>) -> Server {
        self.exposed_headers.push(name.into());
        self
    }

    /// Gives handlers a value that all shards share, which they get with
    /// [`Call::state`](crate::Call::state). One of each type.
    ///
    /// ```
    /// # use corelane::{Call, Server, Tool};
    /// # use std::sync::atomic::{AtomicU64, Ordering};
    /// #[derive(Default)]
    /// struct Greetings(AtomicU64);
    ///
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Greet { name: String }
    /// let server = Server::new("greeter", "1.0.0")
    ///     .with_state(Greetings::default())
    ///     .with_tool(Tool::new("greet", "Greets.", async |call: &Call, Greet { name }| {
    ///         let before = call.state::<Greetings>()?.0.fetch_add(1, Ordering::Relaxed);
    ///         Ok(format!("hello {name}, you are number {}", before + 1))
    ///     }));
    /// ```
    #[must_use]
    pub fn with_state<T: Send + Sync + 'static>(mut self, value: T) -> Server {
        self.states.push(StateMaker::of_server(value));
        self
    }

    /// Gives handlers a value that `make` makes once on each shard, when it starts. It never leaves
    /// its shard, so that a `Cell` or a pool of connections needs no lock.
    ///
    /// ```
    /// # use corelane::{Call, Server, Tool};
    /// # use std::cell::Cell;
    /// #[derive(Default)]
    /// struct CallsHere(Cell<u64>);
    ///
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Nothing {}
    /// let server = Server::new("counter", "1.0.0")
    ///     .with_shard_state(CallsHere::default)
    ///     .with_tool(Tool::new("count", "Counts.", async |call: &Call, _: Nothing| {
    ///         let calls = &call.state::<CallsHere>()?.0;
    ///         calls.set(calls.get() + 1);
    ///         Ok(calls.get().to_string())
    ///     }));
    /// ```
    #[must_use]
    pub fn with_shard_state<T: 'static>(
        mut self,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Server {
        self.states.push(StateMaker::of_shard(make));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// Its name for people, if it has one.
    pub fn title(&self) -> Option<&str> {
        self.description.title.as_deref()
    }

    /// Its own version.
    pub fn version(&self) -> &str {
        &self.description.version
    }

    /// A handle that changes this server's catalog at run time.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Starts the shards and returns when all of them accept connections.
    ///
    /// # Errors
    /// Everything that keeps the server from starting.
    pub fn start(mut self, profile: Profile) -> Result<RunningServer> {
        profile.validate()?;
        public::check(&profile)?;
        let (cores, pinning) = Pinning::decide(&profile)?;
        let backlog = profile.server.backlog;
        let options = ListenOptions {
            backlog,
            write_timeout: Duration::from_millis(profile.connection.write_timeout_ms),
            unix: &profile.unix,
        };
        let inherited = self.inherited.as_mut();
        let sockets = inherited.map(|it| it.sockets_of(&texts_of(&profile)));
        let sockets = sockets.unwrap_or_default();
        let listening = listen(&profile.server.listen, cores.len(), options, sockets)?;
        let Listeners { of_shards, files } = listening;
        let count = profile.server.listen.len();
        let addresses = of_shards[0].iter().take(count);
        let addresses = addresses.map(|it| it.address().clone()).collect();
        let shards = cores
            .iter()
            .map(|&core| pinning.shard_profile(&profile, core));
        let shards: Vec<_> = shards.collect();
        for (of_shard, shard) in of_shards.iter().zip(&shards) {
            let mut listeners = of_shard.iter();
            listeners.try_for_each(|it| it.set_busy_poll(shard.ring.busy_poll_us))?;
        }
        let places = |of_shard: Vec<_>| of_shard.into_iter().map(Place::of).collect();
        let intakes = of_shards.into_iter().map(places);
        let intakes = intakes.map(|listeners| Intake::Listeners(listeners, backlog));
        let shards = (&shards[..], pinning.is_pinned());
        let mut running = self.start_on(profile, shards, addresses, intakes.collect())?;
        running.socket_files = files;
        pinning.log(&cores);
        running.pinning = Some(pinning);
        Ok(running)
    }

    /// Starts a shard for each of `shard_profiles`, pinned to its core or not, with the connections
    /// of its intake.
    fn start_on(
        mut self,
        profile: Profile,
        (shard_profiles, is_pinned): (&[ShardProfile], bool),
        addresses: Vec<ListenAddress>,
        intakes: Vec<Intake>,
    ) -> Result<RunningServer> {
        let _small_pages = SmallPages::begin();
        let offload_cores = profile.cores_of(CoreRole::Offload)?;
        let _confined = Confined::to(profile.cores_of(CoreRole::Control)?.as_deref())?;
        let (handle, directories) = (self.handle(), self.directories.clone());
        let (hooks, launcher) = (self.reload_hooks.clone(), self.launcher.clone());
        let (inherited, shard_count) = (self.inherited.take(), shard_profiles.len());
        let (mut parts, audit, upstreams) = self.into_all_parts(&profile, shard_count)?;
        let allowed = allowed_descriptors()?;
        let certificates = Certificates::for_listeners(&addresses, &profile.tls, &parts)?;
        let offload = start_pool(&profile, shard_count, offload_cores.as_deref())?;
        let live = live_of((&profile, 0), shard_profiles, &addresses, &parts.sealer)?;
        let lives = Arc::new(Lives::new(shard_count));
        let (ends, cluster) = joining::lanes(&profile, shard_count, &mut parts, &handle)?;
        let ring_fds: Arc<[AtomicI32]> = (0..shard_count).map(|_| AtomicI32::new(-1)).collect();
        let (proxies, pages) = (Proxies::new(&profile.server)?, page_settings(&profile)?);
        let of_server = (&profile.server, inherited.is_some());
        let controls = ShardControl::of_server(shard_count, of_server, pages.as_ref());
        controls[0].set_upstreams_down(required_of(&upstreams.1));
        let access = ServerAccess::start(&profile, &addresses, (&parts, &upstreams), &controls)?;
        parts.quotas = access.as_ref().and_then(ServerAccess::quotas);
        let (events, (ready, ready_receiver)) = (mpsc::channel(), mpsc::channel());
        let server = (handle.clone(), events.0.clone());
        let supervisor = Supervisor::new(profile.supervision, server, Arc::clone(&lives));
        let capacity = capacity_of(shard_profiles, allowed);
        let mut running = RunningServer::new(addresses, &profile, capacity, events, supervisor);
        running.audit = audit;
        running.show(&profile, &controls, inherited)?;
        running.join(cluster, &profile, &parts.sealer, &controls)?;
        let context = running.start_runtime()?;
        let mut boards = handle.updates().open(&parts.plan, shard_count).into_iter();
        let shards = intakes.into_iter().zip(ends).zip(shard_profiles);
        for (shard, ((intake, (sender, receiver)), shard_profile)) in shards.enumerate() {
            let plan = ShardPlan {
                shard: shard as u16,
                shards: shard_count as u16,
                profile: *shard_profile,
                is_pinned,
                rings: shard_profile.rings_with_links(allowed, links_of(&parts, &upstreams)),
                intake,
                live: Arc::clone(&live),
                access: access.as_ref().map(ServerAccess::board),
                user_is_principal: profile.unix.user_is_principal,
                proxies: proxies.clone(),
                parts: parts.clone(),
                updates: boards.next().expect("as many boards as shards"),
                offload: offload.clone(),
                tls: certificates.as_ref().map(Certificates::source),
                runtime: Some(context.clone()),
                sender: Place::of(sender),
                receiver: Place::of(receiver),
                lives: Arc::clone(&lives),
                ring_fds: Arc::clone(&ring_fds),
                control: Arc::clone(&controls[shard]),
            };
            running.add(plan, ready.clone())?;
        }
        let mut running = running.when_ready(shard_count, ready, &ready_receiver)?;
        let of_server = (handle.clone(), controls.clone());
        running.read_lists((upstreams, launcher), &parts, (controls, handle.clone()))?;
        running.keep_reloading((certificates, access), (profile, hooks), live, of_server);
        running.watch(directories, &handle)?;
        Ok(running)
    }
}

/// The addresses of a profile as texts.
fn texts_of(profile: &Profile) -> Vec<String> {
    let addresses = profile.server.listen.iter();
    addresses.map(ToString::to_string).collect()
}
