//! The sockets that a process has from the one that it takes over from.

use std::os::fd::OwnedFd;

use crate::handover::rows::SocketRow;

/// The sockets and settings that the old process has left to this one.
#[derive(Default)]
pub(super) struct Inherited {
    /// The sockets of each address, by its text.
    pub(super) listeners: Vec<(String, Vec<OwnedFd>)>,
    pub(super) metrics: Option<OwnedFd>,
    pub(super) control: Option<OwnedFd>,
}

impl Inherited {
    /// Adds a socket.
    pub(super) fn add(&mut self, row: SocketRow, socket: OwnedFd) {
        match row {
            SocketRow::Listener { address, .. } => {
                if let Some((_, sockets)) = self.listeners.get_mut(address) {
                    sockets.push(socket);
                }
            }
            SocketRow::Metrics => self.metrics = Some(socket),
            SocketRow::Control => self.control = Some(socket),
        }
    }

    /// The sockets of these addresses, by their texts, in their order. The others are closed.
    pub(super) fn sockets_of(&mut self, addresses: &[String]) -> Vec<Vec<OwnedFd>> {
        let mut listeners = std::mem::take(&mut self.listeners);
        let of = |text: &String| {
            let found = listeners.iter_mut().find(|(of, _)| of == text);
            found.map_or_else(Vec::new, |(_, sockets)| std::mem::take(sockets))
        };
        addresses.iter().map(of).collect()
    }
}
