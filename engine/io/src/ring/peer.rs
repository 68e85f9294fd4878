//! The peer of a connection: its address, or the user of its process; looked up on demand.
//!
//! Multishot accept(2) gives no address, and getpeername(2) takes no direct descriptor. SO_PEERNAME
//! gives the same (socket(7)), SO_PEERCRED gives the credentials of a process at the other end of a
//! Unix socket (unix(7)), and a socket takes getsockopt(2) as a command of io_uring since Linux
//! 6.7. It runs while it is submitted: it neither waits nor goes to a worker.

use super::completion::{Completion, Peer};
use super::tag::{Op, Tag};
use crate::slots::SlotKey;
use io_uring::types::Fixed;
use io_uring::{opcode, squeue};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// SOCKET_URING_OP_GETSOCKOPT of io_uring.h.
const GET_SOCKET_OPTION: u32 = 2;
/// Where `cmd_op` stands in a submission, in words of four bytes.
const COMMAND_AT: usize = 2;

/// Bytes of `sockaddr_in` and of `sockaddr_in6`. The kernel refuses to fill more than there is.
const V4_BYTES: usize = 16;
const V6_BYTES: usize = 28;
/// Bytes of `ucred`: the numbers of the process, the user and the group, at connect(2).
const CREDENTIALS_BYTES: usize = 12;

/// The kind of address that the peers of a listener have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// Of a listener on an IPv4 address.
    V4,
    /// Of a listener on an IPv6 address, whose peers may have IPv4 addresses mapped into it.
    V6,
    /// Of a listener on a Unix socket: its peers have users.
    Unix,
}

/// A look-up under way: the kernel writes the address here.
#[derive(Debug)]
pub(super) struct PeerLookup {
    pub(super) key: SlotKey,
    family: AddressFamily,
    pub(super) name: [u8; V6_BYTES],
}

impl PeerLookup {
    pub(super) fn of(key: SlotKey, family: AddressFamily) -> PeerLookup {
        let name = [0; V6_BYTES];
        PeerLookup { key, family, name }
    }

    /// The result of the look-up `tag`.
    pub(super) fn completed(self, tag: Tag, result: i32) -> Completion {
        let key = self.key;
        assert_eq!(key.generation, tag.generation, "a look-up completed twice");
        let peer = match self.family {
            _ if result <= 0 => None,
            AddressFamily::V4 | AddressFamily::V6 => address_of(&self.name).map(Peer::Address),
            AddressFamily::Unix => user_of(&self.name).map(Peer::User),
        };
        Completion::PeerFound { key, peer }
    }

    /// Its tag, if it stands at `index` in `flight`.
    pub(super) fn tag_at(&self, index: u32) -> Tag {
        Tag {
            op: Op::LookUpPeer,
            index,
            generation: self.key.generation,
        }
    }
}

/// Writes the name of the peer of a connection to `place`, which is a [`PeerLookup`]'s.
pub(super) fn get_name(fd: Fixed, family: AddressFamily, place: *mut u8) -> squeue::Entry {
    let (name, bytes) = match family {
        AddressFamily::V4 => (libc::SO_PEERNAME, V4_BYTES),
        AddressFamily::V6 => (libc::SO_PEERNAME, V6_BYTES),
        AddressFamily::Unix => (libc::SO_PEERCRED, CREDENTIALS_BYTES),
    };
    get_option(fd, name, place, bytes)
}

/// Reads an option of the level SOL_SOCKET into `place`, which has `bytes` bytes.
fn get_option(fd: Fixed, name: libc::c_int, place: *mut u8, bytes: usize) -> squeue::Entry {
    let (level, name) = (libc::SOL_SOCKET as u32, name as u32);
    // Reading and setting an option differ in the command alone, and the crate has the latter.
    let set = opcode::SetSockOpt::new(fd, level, name, place.cast(), bytes as u32);
    let mut entry = set.build();
    const { assert!(size_of::<squeue::Entry>() == 64) }
    // SAFETY: an entry is `repr(C)` and consists of one `io_uring_sqe` of 64 bytes, aligned to 8,
    // in which the word at this place is `cmd_op`: a plain number for which any value is valid.
    unsafe {
        (&raw mut entry)
            .cast::<u32>()
            .add(COMMAND_AT)
            .write(GET_SOCKET_OPTION)
    };
    entry
}

/// The IP address in a `sockaddr`; an IPv4 address that was mapped into IPv6 becomes IPv4.
fn address_of(name: &[u8; V6_BYTES]) -> Option<IpAddr> {
    let [low, high, _, _, v4 @ ..] = name;
    match libc::c_int::from(u16::from_ne_bytes([*low, *high])) {
        libc::AF_INET => Some(Ipv4Addr::from(*v4.first_chunk()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(*v4[4..].first_chunk()?).to_canonical()),
        _ => None,
    }
}

/// The user in a `ucred`; none for the number that stands for no user, which a peer of another user
/// namespace may have.
fn user_of(name: &[u8; V6_BYTES]) -> Option<u32> {
    let user = u32::from_ne_bytes(*name[4..].first_chunk()?);
    (user != u32::MAX).then_some(user)
}

#[cfg(test)]
mod tests {
    use super::{V6_BYTES, address_of, user_of};
    use socket2::SockAddr;
    use std::net::{IpAddr, SocketAddr};

    #[track_caller]
    fn check(address: &str, expected: &str) {
        let address: SocketAddr = address.parse().expect("an address");
        let name = SockAddr::from(address);
        let mut bytes = [0; V6_BYTES];
        let family = u16::from(address.is_ipv6()) * 8 + 2;
        bytes[..2].copy_from_slice(&family.to_ne_bytes());
        match address.ip() {
            IpAddr::V4(ip) => bytes[4..8].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes[8..24].copy_from_slice(&ip.octets()),
        }
        assert_eq!(name.family(), family);
        let expected: IpAddr = expected.parse().expect("an address");
        assert_eq!(address_of(&bytes), Some(expected));
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        check("192.0.2.7:9", "192.0.2.7");
        check("[2001:db8::7]:9", "2001:db8::7");
        check("[::ffff:192.0.2.7]:9", "192.0.2.7");
        assert_eq!(address_of(&[0; V6_BYTES]), None);
        assert_eq!(user_of(&[0; V6_BYTES]), Some(0));
        assert_eq!(user_of(&[0xff; V6_BYTES]), None);
    }
}
