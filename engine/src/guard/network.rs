//! Distinguishes anonymous peers by their addresses, as far as addresses allow it.

use std::net::IpAddr;

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

#[cfg(test)]
mod tests {
    use super::Network;
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
}
