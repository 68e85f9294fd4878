//! The connecting side of a ring: sockets it opens itself, and receives that stay armed.
//!
//! A connection is dialled by a chain of linked operations: open a socket at the slot's index, set
//! its options, bind it if a source is given, connect. The chain completes once, with `Connected`:
//! all links but the last are silent unless they fail, and one that fails silences the later ones
//! (io_uring_enter(2), IOSQE_CQE_SKIP_SUCCESS). The memory that links point to is kept in `flight`
//! until then.

use super::Ring;
use super::flight::Dialling;
use super::tag::{Op, Tag};
use crate::slots::SlotKey;
use io_uring::types::DestinationSlot;
use io_uring::{opcode, squeue};
use socket2::SockAddr;
use std::ffi::c_int;
use std::net::SocketAddr;

/// The value of an option that is on. It is read when a link runs, so it lives for ever.
static ON: c_int = 1;
/// A close resets the connection (socket(7), SO_LINGER). Read when a link runs, too.
static RESET: libc::linger = libc::linger {
    l_onoff: 1,
    l_linger: 0,
};

/// Links of a chain, the last one included, at most.
const CHAIN_ENTRIES_MAX: usize = 6;

/// Where a connection goes, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The source: an address of this host with port 0. Without it the kernel chooses both.
    ///
    /// With it the port is chosen when connecting (IP_BIND_ADDRESS_NO_PORT, ip(7)), so each pair
    /// of source and destination has the whole range of ports to itself. Needs Linux 6.11.
    pub from: Option<SocketAddr>,
    /// The destination: an IP address, or a Unix socket.
    pub to: SockAddr,
    /// Whether a close resets the connection instead of ending it in order: neither side then
    /// keeps anything of it. Otherwise each port that closes first is taken for a minute
    /// (TIME-WAIT, RFC 9293 3.6.1), and the host keeps only so many (`tcp_max_tw_buckets`).
    pub resets_on_close: bool,
}

impl Ring {
    /// Opens a socket in the direct descriptor of `key` and connects it; `Connected` follows.
    ///
    /// The caller chooses an index below the table's size that is free: never used, or `Closed`.
    /// TCP_NODELAY is set for TCP: a request is one send, and waiting to fill a segment delays the
    /// next.
    ///
    /// # Panics
    /// If the two addresses are not of one family.
    pub fn connect(&mut self, key: SlotKey, route: &Route) {
        let is_one_family = route
            .from
            .is_none_or(|from| from.is_ipv4() == route.to.is_ipv4());
        assert!(is_one_family, "{route:?} mixes address families");
        let to = Box::new(Dialling {
            key,
            from: route.from.map(SockAddr::from),
            to: route.to.clone(),
        });
        // The box does not move in `flight`, so the addresses within it stay where they are.
        let from = to.from.as_ref().map(|from| (from.as_ptr(), from.len()));
        let destination = (to.to.as_ptr(), to.to.len());
        let family = c_int::from(to.to.family());
        let tag = self.flight.begin_dial(to);
        let fd = self.place(key);
        let place = DestinationSlot::try_from_slot_target(fd.0)
            .expect("an index of the table is a place in it");
        let socket = opcode::Socket::new(family, libc::SOCK_STREAM, 0).file_index(Some(place));
        let option = |level: c_int, name: c_int| {
            let value = (&raw const ON).cast();
            let bytes = size_of::<c_int>() as u32;
            opcode::SetSockOpt::new(fd, level as u32, name as u32, value, bytes).build()
        };
        let step = |entry| {
            link(
                entry,
                Tag {
                    op: Op::Dial,
                    ..tag
                },
            )
        };
        self.make_room_for_chain();
        self.push(step(socket.build()));
        if !route.to.is_unix() {
            self.push(step(option(libc::IPPROTO_TCP, libc::TCP_NODELAY)));
        }
        if route.resets_on_close {
            let (level, name) = (libc::SOL_SOCKET as u32, libc::SO_LINGER as u32);
            let value = (&raw const RESET).cast();
            let bytes = size_of::<libc::linger>() as u32;
            let linger = opcode::SetSockOpt::new(fd, level, name, value, bytes);
            self.push(step(linger.build()));
        }
        if let Some((address, bytes)) = from {
            // For both families: the option belongs to the socket, not to an address.
            self.push(step(option(
                libc::IPPROTO_IP,
                libc::IP_BIND_ADDRESS_NO_PORT,
            )));
            self.push(step(opcode::Bind::new(fd, address.cast(), bytes).build()));
        }
        let (address, bytes) = destination;
        let connect = opcode::Connect::new(fd, address.cast(), bytes).build();
        self.push(connect.user_data(tag.pack()));
    }

    /// Makes sure that the next links are submitted together: a submission ends a chain.
    pub(super) fn make_room_for_chain(&mut self) {
        if self.kernel.submissions().free < CHAIN_ENTRIES_MAX {
            self.submit_now();
        }
    }

    /// Receives all bytes, a buffer at a time, until a `Streamed` that is not `armed`.
    ///
    /// For connections that expect bytes soon: an armed receive holds some 600 bytes more of kernel
    /// memory than an armed poll, and saves a submission for each message.
    pub fn recv_multishot(&mut self, key: SlotKey) {
        let receive = opcode::RecvMulti::new(self.place(key), self.buffers.group()).build();
        let tag = self.flight.begin_on(key, Op::Stream);
        self.push(receive.user_data(tag.pack()));
    }

    /// Ends a [`Ring::recv_multishot`]: `Streamed` with ECANCELED and not `armed` follows, after
    /// the bytes received until then.
    pub fn cancel_multishot(&mut self, key: SlotKey) {
        self.cancel(key, Tag::for_slot(Op::Stream, key));
    }
}

/// A link of a chain that completes only if it fails.
fn link(entry: squeue::Entry, tag: Tag) -> squeue::Entry {
    entry
        .flags(squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS)
        .user_data(tag.pack())
}
