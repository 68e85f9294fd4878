//! Definitions of upstreams in a build without the feature `auth`: they are not compared, and a
//! configuration with `pins` is refused.

use corelane_gateway::catalog::ListKind;
use corelane_gateway::config::OnChange;

#[derive(Clone, Debug, Default)]
pub(in crate::server::upstreams) struct Definitions {}

impl Definitions {
    pub(super) fn admits(&mut self, _: OnChange, _: ListKind, _: (&str, &str)) -> bool {
        true
    }

    pub(super) fn changed(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}
