//! The client behind proxies that name it in `X-Forwarded-For`.
//!
//! Each proxy appends the address of its peer, so the header is as trustworthy as the proxies from
//! the right: the client is the rightmost address that is no proxy of the operator's. Addresses
//! further left are of the client's own invention. The header of anyone but a trusted proxy is not
//! read. It lacks `Forwarded` (RFC 7239), which the usual proxies do not write by default.

use std::net::{IpAddr, SocketAddr};

use super::network::Networks;

/// The client of a request that came from `peer` with these header fields: itself, unless it is a
/// proxy in `trusted`.
pub fn client_of<'a>(
    peer: IpAddr,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    trusted: &Networks,
) -> IpAddr {
    let mut client = peer;
    if !trusted.contain(peer) {
        return client;
    }
    let named = fields.filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    let lines: Vec<&[u8]> = named.map(|(_, value)| value).collect();
    let hops = lines.iter().rev();
    for hop in hops.flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        // Behind a malformed address nothing is known: the last proxy stands for the client.
        let Some(address) = parse(hop.trim_ascii()) else {
            return client;
        };
        client = address;
        if !trusted.contain(address) {
            return client;
        }
    }
    client
}

/// An address, with or without a port; an IPv6 address with a port is in brackets.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?;
    let bare = hop.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = bare.unwrap_or(hop).parse::<IpAddr>();
    let address = address.or_else(|_| hop.parse().map(|it: SocketAddr| it.ip()));
    address.ok().map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::client_of;
    use crate::network::Networks;

    #[track_caller]
    fn check(peer: &str, lines: &[&str], expected: &str) {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(str::to_owned);
        let trusted = Networks::new("key", &trusted).expect("valid");
        let fields = lines
            .iter()
            .map(|line| ("X-FORWARDED-for", line.as_bytes()));
        let others = [("x-forwarded-host", &b"198.51.100.9"[..])];
        let peer = peer.parse().expect("an address");
        let client = client_of(peer, fields.chain(others), &trusted);
        assert_eq!(client.to_string(), expected, "{lines:?}");
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_no_proxy() {
        check("10.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("10.0.0.1", &["203.0.113.7, 192.0.2.1"], "192.0.2.1");
        check("10.0.0.1", &["192.0.2.1, 10.9.9.9 ,10.0.0.2"], "192.0.2.1");
        check(
            "10.0.0.1",
            &["203.0.113.7", "192.0.2.1,10.0.0.2"],
            "192.0.2.1",
        );
        check("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1");
        check("2001:db8::9", &["[2001:db9::1]:80"], "2001:db9::1");
        check("2001:db8::9", &["[2001:db9::1]"], "2001:db9::1");
        check("10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1");
    }

    #[test]
    fn only_proxies_name_clients() {
        check("192.0.2.9", &["203.0.113.7"], "192.0.2.9");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    }

    #[test]
    fn nothing_is_known_behind_a_malformed_address() {
        for hop in [
            "",
            "unknown",
            "_hidden",
            "192.0.2.1 192.0.2.2",
            "1",
            "\"::1\"",
        ] {
            check("10.0.0.1", &[&format!("192.0.2.1, {hop}")], "10.0.0.1");
            check("10.0.0.1", &[&format!("{hop}, 10.0.0.2")], "10.0.0.2");
        }
    }
}
