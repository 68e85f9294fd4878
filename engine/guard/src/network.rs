//! Distinguishes anonymous peers by their addresses, as far as addresses allow it, and recognises
//! those of proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of a client, for code that knows no sockets.
pub type ClientAddress = IpAddr;

/// An IPv4 address, or the first 64 bits of an IPv6 one, as one client can have all of the
/// addresses that begin with these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(Bits);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Bits {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Network {
    /// An IPv4 address that was mapped into IPv6 is the IPv4 address.
    fn from(address: IpAddr) -> Network {
        Network(match address.to_canonical() {
            IpAddr::V4(address) => Bits::V4(address.to_bits()),
            IpAddr::V6(address) => Bits::V6((address.to_bits() >> 64) as u64),
        })
    }
}

/// A range of addresses: all that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: IpAddr,
    bits: u8,
}

/// Ranges of addresses, such as those of proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Range>);

/// A text that names no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key} entry {entry:?} is no address or network: write 10.0.0.5, 10.0.0.0/8 or 2001:db8::/32, \
     with no bits set behind the prefix"
)]
pub struct NetworkError {
    key: &'static str,
    entry: String,
}

impl Networks {
    /// The networks that the profile names under `key`: addresses, or ranges in CIDR notation (RFC
    /// 4632 3.1).
    ///
    /// # Errors
    /// An entry is neither.
    pub fn new(key: &'static str, entries: &[String]) -> Result<Networks, NetworkError> {
        let ranges = entries.iter().map(|entry| {
            Range::parse(entry).ok_or_else(|| NetworkError {
                key,
                entry: entry.clone(),
            })
        });
        ranges.collect::<Result<_, _>>().map(Networks)
    }

    /// The addresses of this host (RFC 1122 3.2.1.3, RFC 4291 2.5.3).
    pub fn loopback() -> Networks {
        let range = |first, bits| Range { first, bits };
        Networks(vec![
            range(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
            range(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(address))
    }
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let (first, bits) = match text.split_once('/') {
            Some((first, bits)) => (first, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().ok()?;
        let bits_max = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => bits_max,
        };
        let range = Range { first, bits };
        let is_first = bits <= bits_max && range.of(first) == number_of(first);
        is_first.then_some(range)
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.of(address) == number_of(self.first)
    }

    /// The first address of the range of this size that `address` is in, as a number.
    fn of(&self, address: IpAddr) -> u128 {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let kept = u128::MAX.checked_shl(width - u32::from(self.bits));
        number_of(address) & kept.unwrap_or(0)
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, Networks};
    use std::net::IpAddr;

    #[test]
    fn addresses_of_one_client_are_one_network() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().expect("an address"));
        let different = [
            "192.0.2.1",
            "192.0.2.2",
            "2001:db8::1",
            "2001:db8:0:1::1",
            "::1",
        ];
        for (at, one) in different.iter().enumerate() {
            for other in &different[..at] {
                assert_ne!(network(one), network(other));
            }
        }
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_eq!(network("2001:db8::ffff:1"), network("2001:db8::1"));
    }

    #[test]
    fn networks_contain_the_addresses_that_begin_with_their_bits() {
        let entries = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"];
        let networks = Networks::new("key", &entries.map(str::to_owned)).expect("valid");
        for (address, expected) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::1", true),
            ("::2", false),
            ("::a00:1", false),
        ] {
            let found = networks.contain(address.parse().expect("an address"));
            assert_eq!(found, expected, "{address}");
        }
        let all = Networks::new("key", &["0.0.0.0/0".to_owned()]).expect("valid");
        assert!(all.contain("203.0.113.9".parse().expect("an address")));
        assert!(!all.contain("2001:db8::1".parse().expect("an address")));
        assert!(!Networks::default().contain("10.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn entries_that_name_no_network_are_refused() {
        for entry in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0",
            "::/129",
            "host",
            "10.0.0.0/8/8",
            "*",
        ] {
            let error = Networks::new("server.x", &[entry.to_owned()]).expect_err(entry);
            let start = format!("server.x entry {entry:?} is no address or network");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}
