//! The sockets of a shard that are for links to upstreams.

use corelane_io::rings::RingsSettings;

use super::ShardProfile;

/// The sockets of a shard's first ring that are for links to upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkShare {
    /// None: there are no upstreams, and there will be none.
    None,
    /// A few: a reload may bring upstreams.
    Spare,
    /// At most half of them.
    Half,
}

impl ShardProfile {
    /// The rings of a shard, some of whose sockets are for links to upstreams.
    pub(crate) fn rings_with_links(&self, allowed: u32, links: LinkShare) -> RingsSettings {
        /// Links to upstreams that a reload may bring.
        const SPARE_MAX: u32 = 256;
        let mut rings = self.rings(allowed);
        let places = rings.ring.descriptors.min(allowed);
        let most = match links {
            LinkShare::None => 0,
            LinkShare::Spare => SPARE_MAX.min(places / 16),
            LinkShare::Half => places / 2,
        };
        rings.ring.dialled = self.gateway.links_per_shard_max.min(most);
        rings
    }
}
