//! The addresses to which this server sends requests (server-side request forgery).
//!
//! Nothing in a request names a URL that is fetched: all are from the configuration, or from the
//! metadata of a configured issuer. Their names are resolved by others, so each address is checked
//! before a connection is made to it, in each form in which IPv6 has an address of IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a URL may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Loopback only: the operator wrote an issuer on this host.
    Loopback,
    /// Public and private ones: the operator wrote the host.
    Configured,
    /// Public ones only: a fetched document names the host.
    Found,
}

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Public,
    /// Of private networks and of carriers (RFC 1918, RFC 4193, RFC 6598), and for benchmarks.
    Private,
    Loopback,
    /// Of no host, of many, or of the metadata service of a cloud.
    Never,
}

impl Reach {
    /// Whether a connection to this address is allowed.
    ///
    /// ```
    /// use corelane_control::address::Reach;
    ///
    /// let metadata_service = "169.254.169.254".parse()?;
    /// assert!(!Reach::Configured.allows(metadata_service));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn allows(self, address: IpAddr) -> bool {
        let kind = match address {
            IpAddr::V4(address) => kind_of_v4(address),
            IpAddr::V6(address) => kind_of_v6(address),
        };
        match self {
            Reach::Loopback => kind == Kind::Loopback,
            Reach::Configured => matches!(kind, Kind::Public | Kind::Private),
            Reach::Found => kind == Kind::Public,
        }
    }
}

/// By the registry of special addresses (RFC 6890).
fn kind_of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [127, ..] => Kind::Loopback,
        // The metadata service of Alibaba Cloud.
        [100, 100, 100, 200] => Kind::Never,
        [0, ..] | [169, 254, ..] | [192, 0, 0, _] | [224..=255, ..] => Kind::Never,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        [100, 64..=127, ..] | [198, 18..=19, ..] => Kind::Private,
        _ => Kind::Public,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> Kind {
    if address == Ipv6Addr::LOCALHOST {
        return Kind::Loopback;
    }
    let segments = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    let embedded = match segments {
        // Mapped (RFC 4291 2.5.5.2): the system connects to the IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, high, low] => return kind_of_v4(v4(high, low)),
        // Compatible (RFC 4291 2.5.5.1), and translated (RFC 2765).
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low),
        // NAT64 (RFC 6052, RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 1, ..] => return Kind::Never,
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo (RFC 4380): the address of the server, and that of the client, inverted.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            if kind_of_v4(v4(high, low)) != Kind::Public {
                return Kind::Never;
            }
            v4(!client_high, !client_low)
        }
        // The metadata service of Amazon.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => return Kind::Never,
        // Link-local, site-local (RFC 3879), multicast, discard (RFC 6666).
        [0xfe80..=0xffff, ..] | [0x100, 0, 0, 0, ..] => return Kind::Never,
        [0xfc00..=0xfdff, ..] => return Kind::Private,
        _ => return Kind::Public,
    };
    match kind_of_v4(embedded) {
        Kind::Public => Kind::Public,
        _ => Kind::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::Reach;

    #[test]
    fn each_address_has_one_kind() {
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:a9fe:a9fe::1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "2001:0:a00:1::1",
            "2001:0:4136:e378:8000:63bf:5601:5601",
            "2001:0:4136:e378:8000:63bf:80ff:fffe",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "100::1",
        ];
        let private = [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "::ffff:10.0.0.1",
            "fd00::1",
            "fc00::1",
        ];
        let public = [
            "192.0.2.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.63.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001:db8::1",
            "2001:4860:4860::8888",
        ];
        let loopback = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
        let reaches = [Reach::Loopback, Reach::Configured, Reach::Found];
        for (addresses, expected) in [
            (&never[..], [false, false, false]),
            (&private, [false, true, false]),
            (&public, [false, true, true]),
            (&loopback, [true, false, false]),
        ] {
            for address in addresses {
                let parsed = address.parse().expect("an address");
                assert_eq!(reaches.map(|it| it.allows(parsed)), expected, "{address}");
            }
        }
    }
}
