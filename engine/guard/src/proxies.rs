//! The peers that may name the principal of a request in a header.
//!
//! Any client can write such a header, so only the peers that the configuration trusts may. A peer
//! whose address is not known may not.

use crate::network::{NetworkError, Networks};
use crate::peer::KnownPeer;

/// The word for peers on Unix sockets.
const UNIX: &str = "unix";

/// The proxies that may name principals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Networks,
    has_unix: bool,
}

impl Default for TrustedProxies {
    /// Those of this host: loopback addresses and Unix sockets.
    fn default() -> TrustedProxies {
        TrustedProxies {
            networks: Networks::loopback(),
            has_unix: true,
        }
    }
}

impl TrustedProxies {
    /// The proxies that a configuration names under `key`: addresses, networks, and the word
    /// `unix` for peers on Unix sockets.
    ///
    /// # Errors
    /// An entry is none of them.
    ///
    /// ```
    /// use corelane_guard::peer::KnownPeer;
    /// use corelane_guard::proxies::TrustedProxies;
    ///
    /// let entries = ["10.0.0.0/8", "unix"].map(str::to_owned);
    /// let proxies = TrustedProxies::new("trusted_proxies", &entries)?;
    /// let peer = |text: &str| KnownPeer { address: text.parse().ok(), ..KnownPeer::default() };
    /// assert!(proxies.contain(Some(&peer("10.1.2.3"))));
    /// assert!(!proxies.contain(Some(&peer("127.0.0.1"))));
    /// assert!(!proxies.contain(None));
    /// # Ok::<(), corelane_guard::network::NetworkError>(())
    /// ```
    pub fn new(key: &'static str, entries: &[String]) -> Result<TrustedProxies, NetworkError> {
        let is_unix = |entry: &&String| *entry == UNIX;
        let networks: Vec<String> = entries.iter().filter(|it| !is_unix(it)).cloned().collect();
        Ok(TrustedProxies {
            networks: Networks::new(key, &networks)?,
            has_unix: entries.iter().any(|entry| is_unix(&entry)),
        })
    }

    /// Whether this peer is one of them.
    pub fn contain(&self, peer: Option<&KnownPeer>) -> bool {
        peer.is_some_and(|peer| match peer.address {
            Some(address) => self.networks.contain(address),
            None => peer.is_unix && self.has_unix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TrustedProxies;
    use crate::peer::KnownPeer;

    fn peer(address: &str) -> KnownPeer {
        KnownPeer {
            address: address.parse().ok(),
            is_unix: address == "unix",
            ..KnownPeer::default()
        }
    }

    #[test]
    fn only_named_peers_are_trusted_and_without_a_list_those_of_this_host() {
        let list = |entries: &[&str]| {
            let entries: Vec<String> = entries.iter().map(|it| (*it).to_owned()).collect();
            TrustedProxies::new("trusted_proxies", &entries).expect("valid")
        };
        let (host, network) = (TrustedProxies::default(), list(&["10.0.0.0/8"]));
        let (unix, none) = (list(&["unix"]), list(&[]));
        for (address, expected) in [
            ("127.0.0.1", [true, false, false, false]),
            ("127.9.9.9", [true, false, false, false]),
            ("::1", [true, false, false, false]),
            ("::ffff:127.0.0.1", [true, false, false, false]),
            ("unix", [true, false, true, false]),
            ("10.1.2.3", [false, true, false, false]),
            ("192.0.2.1", [false; 4]),
            ("not known", [false; 4]),
        ] {
            let peer = peer(address);
            let found = [&host, &network, &unix, &none].map(|it| it.contain(Some(&peer)));
            assert_eq!(found, expected, "{address}");
        }
        assert!(!host.contain(None));
    }
}
