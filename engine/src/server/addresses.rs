//! The addresses of a server, and the checks of who may use them.

use super::error::Result;
use crate::guard::origin::OriginPolicy;
use crate::guard::principal::PrincipalHeader;
use crate::profile::{Binding, ListenAddress, Profile};

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
