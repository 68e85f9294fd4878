//! Where the NATS servers are, and how they know this node.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::ConnectOptions;

/// Bytes of the name of a cluster.
pub const NAME_BYTES_MAX: usize = 32;

/// Pings of a connection without traffic: a dead one is noticed after two.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Before a reconnect passes a random time up to this.
const RECONNECT_MAX_MS: u64 = 2_000;
/// The least of that time.
const RECONNECT_MIN_MS: u64 = 50;
/// Messages of a subscription that wait for the caller: it takes all of them within a second.
const SUBSCRIPTION_MESSAGES_MAX: usize = 65_536;

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
    /// The file cannot be read.
    #[error("NKey file {}: {error}", path.display())]
    NkeyFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
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
            let read = std::fs::read_to_string(path);
            let seed = read.map_err(|error| ConnectError::NkeyFile {
                path: path.clone(),
                error,
            })?;
            options = options.nkey(seed.trim_ascii().to_owned());
        }
        if let Some(path) = &self.ca_file {
            options = options
                .add_root_certificates(path.clone())
                .require_tls(true);
        }
        Ok(options)
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
    use super::{RECONNECT_MAX_MS, RECONNECT_MIN_MS, reconnect_delay};

    #[test]
    fn reconnects_are_spread() {
        let delays: Vec<u128> = (0..64).map(|_| reconnect_delay().as_millis()).collect();
        let bounds = u128::from(RECONNECT_MIN_MS)..u128::from(RECONNECT_MAX_MS);
        assert!(delays.iter().all(|delay| bounds.contains(delay)));
        let (least, most) = (delays.iter().min(), delays.iter().max());
        let spread = most.and_then(|most| Some(most - least?));
        assert!(spread.is_some_and(|spread| spread > 500), "{delays:?}");
    }
}
