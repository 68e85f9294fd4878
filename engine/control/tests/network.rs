//! The control thread against servers on sockets: keys, rotation, introspection, reloads, and the
//! answers and addresses that are refused.

#[path = "network/certificates.rs"]
mod certificates;
#[path = "network/introspection.rs"]
mod introspection;
#[path = "network/issuer.rs"]
mod issuer;
#[path = "network/keys.rs"]
mod keys;
#[path = "network/refused.rs"]
mod refused;
#[path = "network/reload.rs"]
mod reload;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use corelane_control::config::{Limits, ServerFacts};
use corelane_control::fetch::{Lookup, system_lookup};
use corelane_control::{Control, ControlEvent};
use corelane_guard::access::Access;
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::verify::Circumstances;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A control thread with its configuration and its snapshots.
struct Server {
    control: Control,
    folder: TempDir,
    snapshots: Receiver<Arc<Access>>,
}

impl Server {
    fn start(configuration: &str) -> Server {
        Server::start_with(configuration, Limits::default(), system_lookup())
    }

    fn start_with(configuration: &str, limits: Limits, lookup: Lookup) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        Server::start_in(folder, configuration, limits, lookup)
    }

    fn start_in_folder(folder: TempDir, configuration: &str) -> Server {
        Server::start_in(folder, configuration, Limits::default(), system_lookup())
    }

    fn start_in(folder: TempDir, configuration: &str, limits: Limits, lookup: Lookup) -> Server {
        write(&folder, "corelane.toml", configuration);
        let facts = facts(limits);
        let (sender, snapshots) = mpsc::channel();
        let report = move |event: ControlEvent<'_>| {
            if let ControlEvent::Snapshot(access) = event {
                // The test may have ended.
                let _ = sender.send(access);
            }
        };
        let path = folder.path().join("corelane.toml");
        let control = Control::start_with_lookup(&path, facts, lookup, report);
        Server {
            control: control.unwrap_or_else(|error| panic!("{error}")),
            folder,
            snapshots,
        }
    }

    /// The next snapshot.
    fn next(&self) -> Arc<Access> {
        self.snapshots.recv_timeout(PATIENCE).expect("a snapshot")
    }

    /// The first snapshot from now on with this property.
    fn until(&self, is_right: impl Fn(&Access) -> bool) -> Arc<Access> {
        loop {
            let access = self.next();
            if is_right(&access) {
                return access;
            }
        }
    }

    /// The first snapshot in which every issuer has keys.
    fn with_keys(&self) -> Arc<Access> {
        self.until(|access| access.verifier.issuers_without_keys().count() == 0)
    }

    /// The next snapshot but the first has no keys, as the fetch failed.
    fn assert_no_keys(&self) {
        let first = self.next();
        assert_eq!(first.verifier.issuers_without_keys().count(), 1);
        let second = self.next();
        assert_eq!(second.verifier.issuers_without_keys().count(), 1);
        assert_eq!(self.control.counters().fetches_failed.value(), 1);
        assert_eq!(self.control.counters().fetches_succeeded.value(), 0);
    }
}

fn facts(limits: Limits) -> ServerFacts {
    ServerFacts {
        endpoint_paths: vec!["/mcp".to_owned()],
        loopback_origin: None,
        has_client_certificates: false,
        has_public_header: false,
        methods: Vec::new(),
        catalog: None,
        limits,
    }
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    let new = folder.path().join("new");
    fs::write(&new, text).expect("a file");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o400)).expect("a mode");
    fs::rename(new, path).expect("a rename");
}

/// A configuration with one issuer, the lines of which follow.
fn configuration(issuer: &str, lines: &str) -> String {
    format!(
        "[policy]\ndefault = \"authenticated\"\n\
         [auth]\nresource = \"https://mcp.example.com/mcp\"\n\
         [[auth.issuer]]\nalias = \"corp\"\nissuer = \"{issuer}\"\n{lines}\n"
    )
}

/// The result for a token now, as the key of its principal.
fn verify(access: &Access, token: &str) -> Result<String, TokenFault> {
    let circumstances = Circumstances {
        now_s: issuer::now_s(),
        certificate: None,
        address: None,
    };
    let verified = access.verifier.verify(token.as_bytes(), &circumstances)?;
    Ok(verified.identity.principal_key().to_owned())
}
