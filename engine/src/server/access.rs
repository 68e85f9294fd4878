//! Access control of a server: the control thread makes snapshots, and the shards take them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use corelane_control::config::{Catalog, Limits, ServerFacts};
use corelane_control::{Control, ControlError, ControlEvent};

use super::error::{Error, Result};
use super::public::is_public;
use super::quotas::QuotaFile;
use super::upstreams::FixedAndAll;
use crate::access::AccessBoard;
use crate::audit::AuditLog;
use crate::catalog::registered::RegisteredEntries;
use crate::guard::audit::{Event, Record};
use crate::guard::identity::Method;
use crate::guard::limit::board::QuotaBoard;
use crate::mcp::ServerParts;
use crate::profile::{Auth, Binding, ListenAddress, Profile};
use crate::shard::ShardControl;

/// Access control of a server, until this is dropped.
#[derive(Debug)]
pub(super) struct ServerAccess {
    board: Arc<AccessBoard>,
    control: Arc<Control>,
    /// The catalog that rules are compared with.
    catalog: Catalog,
    addresses: Vec<ListenAddress>,
    /// The sums of quotas, if they outlive the process.
    quotas: Option<QuotaFile>,
}

/// Makes a server read its access file again.
#[derive(Debug)]
pub(super) struct AccessReload {
    control: Weak<Control>,
    catalog: Catalog,
    addresses: Vec<ListenAddress>,
}

impl ServerAccess {
    /// Reads the access file of the profile, if it names one, and starts the thread. The program
    /// itself has upstreams or none.
    ///
    /// # Errors
    /// The file has faults, or names entries that the catalog does not have.
    pub(super) fn start(
        profile: &Profile,
        addresses: &[ListenAddress],
        (parts, (fixed, _)): (&ServerParts, &FixedAndAll),
        shards: &[Arc<ShardControl>],
    ) -> Result<Option<ServerAccess>> {
        let Some(path) = &profile.server.access_file else {
            return Ok(None);
        };
        let catalog = Catalog {
            entries: Arc::new(RegisteredEntries(Arc::clone(&parts.plan))),
            // Entries of upstreams are not there yet. Those of the file are known where it is read.
            is_open: !fixed.is_empty(),
        };
        let facts = ServerFacts {
            catalog: Some(catalog.clone()),
            ..facts(profile, addresses)
        };
        let board = Arc::new(AccessBoard::default());
        let (of_thread, woken) = (Arc::clone(&board), shards.to_vec());
        let log = parts.audit.clone();
        let control = Control::start(path, facts, move |event| match event {
            ControlEvent::Snapshot(access) => {
                of_thread.publish(access);
                for shard in &woken {
                    shard.wake();
                }
            }
            event => record(&event, log.as_ref()),
        })?;
        board.set_issuers(control.issuers());
        let limits = Arc::clone(&board.present().limits);
        let quota_file = limits.quota.as_ref().and_then(|quota| quota.file.as_ref());
        let interval = Duration::from_millis(profile.limits.quota_write_interval_ms);
        let quotas = quota_file.map(|path| QuotaFile::open(path, shards.len(), interval));
        Ok(Some(ServerAccess {
            board,
            control: Arc::new(control),
            catalog,
            addresses: addresses.to_vec(),
            quotas: quotas.transpose()?,
        }))
    }

    /// The place of the snapshots.
    pub(super) fn board(&self) -> Arc<AccessBoard> {
        Arc::clone(&self.board)
    }

    /// Where the shards publish the sums of quotas, if they outlive the process.
    pub(super) fn quotas(&self) -> Option<Arc<QuotaBoard>> {
        self.quotas.as_ref().map(QuotaFile::board)
    }

    /// Makes the server read its file again, as long as it runs.
    pub(super) fn reload(&self) -> AccessReload {
        AccessReload {
            control: Arc::downgrade(&self.control),
            catalog: self.catalog.clone(),
            addresses: self.addresses.clone(),
        }
    }
}

impl AccessReload {
    /// Reads the file again for a server with this profile, and waits until its snapshot was left
    /// for the shards. With `is_check` nothing changes. Returns the places of the file whose
    /// changes are not in use, because only a start applies them.
    ///
    /// # Errors
    /// The file has faults: that of before stays in use.
    pub(super) fn read_again(&self, profile: &Profile, is_check: bool) -> Result<Vec<String>> {
        let Some(control) = self.control.upgrade() else {
            // The server has ended.
            return Ok(Vec::new());
        };
        let facts = ServerFacts {
            catalog: Some(self.catalog.clone()),
            ..facts(profile, &self.addresses)
        };
        Ok(control.reload_for(facts, is_check)?)
    }
}

/// The properties of a server with this profile that its access file depends on, without its
/// catalog.
impl From<&Profile> for ServerFacts {
    fn from(profile: &Profile) -> ServerFacts {
        facts(profile, &profile.server.listen)
    }
}

fn facts(profile: &Profile, addresses: &[ListenAddress]) -> ServerFacts {
    let has_header = profile.server.principal_header.is_some();
    let has_certificates = !profile.tls.client_ca_files.is_empty();
    let has_unix = addresses.iter().any(|it| it.socket_addr().is_none());
    let methods = [
        (Method::ProxyHeader, has_header),
        (Method::Certificate, has_certificates),
        (Method::UnixPeer, has_unix && profile.unix.user_is_principal),
    ];
    let methods = methods.into_iter().filter(|(_, is_used)| *is_used);
    ServerFacts {
        endpoint_paths: profile.server.endpoint.as_slice().to_vec(),
        loopback_origin: loopback_origin(addresses),
        has_client_certificates: has_certificates,
        has_public_header: has_header && addresses.iter().any(is_public),
        methods: methods.map(|(method, _)| method).collect(),
        catalog: None,
        limits: Limits::from(&profile.auth),
    }
}

/// The bounds of an access file by the knobs of a profile.
impl From<&Auth> for Limits {
    fn from(auth: &Auth) -> Limits {
        Limits {
            issuers_max: auth.issuers_max,
            api_keys_max: auth.api_keys_max,
            token_bytes_max: auth.token_bytes_max,
            leeway_s: auth.leeway_s,
            keys_age_max: Duration::from_secs(auth.keys_age_max_s),
            refresh_interval_min: Duration::from_secs(auth.refresh_interval_min_s),
        }
    }
}

/// Records an event in the audit log.
fn record(event: &ControlEvent<'_>, log: Option<&AuditLog>) {
    let record = match *event {
        ControlEvent::Snapshot(_) => return,
        ControlEvent::PolicyLoaded { policy } => Record {
            policy: Some(policy),
            ..Record::new(Event::PolicyLoaded, 0)
        },
        ControlEvent::PolicyRefused { policy } => Record {
            policy: Some(policy),
            ..Record::new(Event::PolicyRefused, 0)
        },
        ControlEvent::KeysChanged { issuer, has_keys } => Record {
            issuer: Some(issuer),
            outcome: Some(if has_keys { "loaded" } else { "dropped" }),
            ..Record::new(Event::KeysChanged, 0)
        },
    };
    if let Some(log) = log {
        log.record(&record);
    }
}

impl From<ControlError> for Error {
    fn from(error: ControlError) -> Error {
        Error::Access(error.to_string())
    }
}

/// The origin of the first address of HTTP on loopback.
fn loopback_origin(addresses: &[ListenAddress]) -> Option<String> {
    let mut of_http = addresses.iter().filter(|it| it.binding == Binding::Http);
    of_http.find_map(|address| {
        let socket = address.socket_addr()?;
        let scheme = if address.tls { "https" } else { "http" };
        let is_loopback = socket.ip().to_canonical().is_loopback();
        is_loopback.then(|| format!("{scheme}://{socket}"))
    })
}
