//! The host and origin checks of the listeners.

use super::error::Result;
use crate::guard::origin::OriginPolicy;
use crate::profile::{Binding, ListenAddress, Server};

/// The host and origin check of each listener; warns of each that accepts any host.
pub(super) fn policies(addresses: &[ListenAddress], server: &Server) -> Result<Vec<OriginPolicy>> {
    let policy = |address: &ListenAddress| {
        let listen = address.socket_addr();
        let policy = OriginPolicy::new(listen, &server.allowed_hosts, &server.allowed_origins)?;
        if !policy.checks_host() && listen.is_some() && address.binding != Binding::Lines {
            tracing::warn!(
                %address,
                "any Host is accepted: pages on other sites can reach the server through DNS \
                 rebinding; name the hosts it is reached by in allowed_hosts, or with --allow-host"
            );
        }
        Ok(policy)
    };
    addresses.iter().map(policy).collect()
}
