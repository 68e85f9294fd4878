//! Where the NATS servers are, and how they know this node.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::rustls::RootCertStore;
use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject as _;

/// Bytes of the name of a cluster.
pub const NAME_BYTES_MAX: usize = 32;

/// Pings of a connection without traffic: a dead one is noticed after two.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Before a reconnect passes a random time up to this.
const RECONNECT_MAX_MS: u64 = 2_000;
/// The least of that time.
const RECONNECT_MIN_MS: u64 = 50;
/// Messages of a subscription that wait for the caller: more than a second of those of a cluster.
/// Older ones are of no use, and keep new ones waiting: losses are reported and made good.
const SUBSCRIPTION_MESSAGES_MAX: usize = 4_096;

/// Where the servers are, and how they know this node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the cluster: a part of all subjects and buckets.
    pub cluster: String,
    /// URLs of servers, such as "nats://127.0.0.1:4222" or "tls://nats.example.com".
    pub servers: Vec<String>,
    /// A file with the seed of an NKey.
    pub nkey_file: Option<PathBuf>,
    /// A file with the certificates of authorities, in PEM. TLS is required with it.
    pub ca_file: Option<PathBuf>,
}

/// Why no connection can be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A file that a knob names cannot be used.
    #[error("{knob} = {}: {reason}", path.display())]
    File {
        /// The knob of the profile.
        knob: &'static str,
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The client refuses the options.
    #[error("NATS: {0}")]
    Client(#[from] async_nats::ConnectError),
    /// The client has ended.
    #[error("NATS: a subscription cannot be made: {0}")]
    Subscribe(String),
}

impl Settings {
    /// Whether a text can name a cluster: letters, digits, "-" and "_", at most
    /// [`NAME_BYTES_MAX`].
    ///
    /// ```
    /// use corelane_nats::Settings;
    /// assert!(Settings::is_name("prod-1"));
    /// assert!(!Settings::is_name("prod.eu"));
    /// ```
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_fit)
    }

    /// The options of a connection that is called `name` on the servers.
    pub(crate) fn options(&self, name: String) -> Result<ConnectOptions, ConnectError> {
        let is_first = AtomicBool::new(true);
        let mut options = ConnectOptions::new()
            .name(name)
            .custom_inbox_prefix(format!("_CL.{}", self.cluster))
            .ping_interval(PING_INTERVAL)
            .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(Duration::from_secs(1)))
            .reconnect_delay_callback(move |_| match is_first.swap(false, Ordering::Relaxed) {
                // The client waits before the first connection as well.
                true => Duration::ZERO,
                false => reconnect_delay(),
            });
        if let Some(path) = &self.nkey_file {
            let seed = seed_of(path).map_err(|reason| ConnectError::File {
                knob: "cluster.nkey_file",
                path: path.clone(),
                reason,
            })?;
            options = options.nkey(seed);
        }
        if let Some(path) = &self.ca_file {
            // The client reads it at each connection, and its errors do not name it.
            check_authorities(path).map_err(|reason| ConnectError::File {
                knob: "cluster.ca_file",
                path: path.clone(),
                reason,
            })?;
            options = options
                .add_root_certificates(path.clone())
                .require_tls(true);
        }
        Ok(options)
    }
}

/// The seed of an NKey in a file. A message about a fault never quotes it: it is a secret.
fn seed_of(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let seed = text.trim_ascii();
    match nkeys::KeyPair::from_seed(seed) {
        Ok(_) => Ok(seed.to_owned()),
        Err(_) => Err("it is not the seed of an NKey alone, such as `nk -gen user` makes".into()),
    }
}

/// A file has certificates of authorities in PEM, and nothing in their place.
fn check_authorities(path: &Path) -> Result<(), String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        let added = roots.add(certificate);
        added.map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("it has no certificate in PEM".to_owned()),
        false => Ok(()),
    }
}

/// A random time, so that the nodes of a cluster do not come back at once.
fn reconnect_delay() -> Duration {
    let range = RECONNECT_MAX_MS - RECONNECT_MIN_MS;
    let random = getrandom::u64().unwrap_or(range / 2);
    Duration::from_millis(RECONNECT_MIN_MS + random % range)
}

#[cfg(test)]
mod tests {
    use super::{RECONNECT_MAX_MS, RECONNECT_MIN_MS, Settings, reconnect_delay};

    #[test]
    fn reconnects_are_spread() {
        let delays: Vec<u128> = (0..64).map(|_| reconnect_delay().as_millis()).collect();
        let bounds = u128::from(RECONNECT_MIN_MS)..u128::from(RECONNECT_MAX_MS);
        assert!(delays.iter().all(|delay| bounds.contains(delay)));
        let (least, most) = (delays.iter().min(), delays.iter().max());
        let spread = most.and_then(|most| Some(most - least?));
        assert!(spread.is_some_and(|spread| spread > 500), "{delays:?}");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_knob() {
        let path = std::env::temp_dir().join(format!("corelane-nats-{}", std::process::id()));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for content in [None, Some(""), Some("junk"), Some(broken)] {
            if let Some(content) = content {
                std::fs::write(&path, content).expect("a file");
            }
            for knob in ["cluster.nkey_file", "cluster.ca_file"] {
                let file = |of: &str| (of == knob).then(|| path.clone());
                let settings = Settings {
                    cluster: "test".to_owned(),
                    servers: Vec::new(),
                    nkey_file: file("cluster.nkey_file"),
                    ca_file: file("cluster.ca_file"),
                };
                let error = settings.options(String::new()).expect_err("an error");
                let text = error.to_string();
                let name = path.display().to_string();
                assert!(text.contains(knob) && text.contains(&name), "{text}");
                assert!(!text.contains("junk"), "{text}");
            }
        }
        std::fs::remove_file(&path).expect("a file");
    }
}
