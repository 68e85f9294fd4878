//! The addresses of a server: announced when it listens, and checked for who can reach them.

use std::io::Write;

use super::error::Result;
use super::running::RunningServer;
use crate::guard::origin::OriginPolicy;
use crate::guard::principal::PrincipalHeader;
use crate::profile::{Binding, ListenAddress, Profile, Transport};

impl RunningServer {
    /// Prints the addresses and the capacity to standard output.
    pub(super) fn announce(&self) {
        let mut text = String::new();
        for address in self.addresses() {
            text += &match (address.binding, &address.transport) {
                (Binding::Http | Binding::WebSocket, Transport::Tcp(_)) => {
                    format!("listening on {address}{}\n", self.endpoint())
                }
                (Binding::Http | Binding::WebSocket, Transport::Unix(_)) => {
                    format!("listening on {address}, endpoint {}\n", self.endpoint())
                }
                (Binding::Lines, _) => format!("listening on {address}\n"),
            };
        }
        text += &format!(
            "shards: {}, connections per shard: {}\nmemory: {}\n",
            self.shards(),
            self.connections_per_shard(),
            self.memory(),
        );
        if let Some(address) = self.metrics_address() {
            text += &format!("metrics: http://{address}/metrics\n");
        }
        // It need not be read.
        let mut output = std::io::stdout();
        if let Err(error) = output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush())
        {
            tracing::warn!(%error, "standard output cannot be written");
        }
    }
}

/// The host and origin check of each listener; warns of lines that other hosts reach.
pub(super) fn origin_policies(
    addresses: &[ListenAddress],
    profile: &Profile,
) -> Result<Vec<OriginPolicy>> {
    let server = &profile.server;
    let policy = |address: &ListenAddress| {
        let listen = address.socket_addr();
        let policy = OriginPolicy::new(listen, &server.allowed_hosts, &server.allowed_origins)?;
        if let Some(listen) = listen.filter(|_| address.binding == Binding::Lines)
            && !listen.ip().to_canonical().is_loopback()
        {
            tracing::warn!(
                %address,
                "every program that reaches this address may call all tools: lines name no user; \
                 listen on loopback or on a Unix socket, or let a firewall choose the clients"
            );
        }
        Ok(policy)
    };
    addresses.iter().map(policy).collect()
}

/// The header that names the principal, if there is one.
pub(super) fn principal_header(profile: &Profile) -> Option<PrincipalHeader> {
    let name = profile.server.principal_header.as_deref();
    name.map(PrincipalHeader::new)
}
