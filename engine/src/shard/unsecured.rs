//! The table of connections with TLS in a library without the feature `tls`: it is empty, as the
//! profile refuses listeners with TLS.

use std::rc::Rc;
use std::sync::Arc;

use crate::connection::context::Context;
use crate::connection::http::Connection;
use crate::guard::holder::HolderKey;
use crate::handler::offload::OffloadPort;
use corelane_io::slots::SlotKey;

/// No certificates.
#[derive(Debug)]
pub(crate) enum TlsSource {}

/// No connections.
pub(crate) struct Secured;

/// No effect.
pub(super) struct Effect;

impl Secured {
    pub(super) fn new(_: Option<&Arc<TlsSource>>, _: usize, _: Rc<OffloadPort>) -> Secured {
        Secured
    }

    pub(super) fn insert(&mut self, _: SlotKey) {}

    pub(super) fn identify(&mut self, _: SlotKey, _: HolderKey) {}

    pub(super) fn received(
        &mut self,
        _: &mut Connection,
        _: &mut [u8],
        _: &mut Context<'_>,
    ) -> Effect {
        Effect
    }

    pub(super) fn shed(&mut self, _: SlotKey) {}

    pub(super) fn has_finished(&self) -> bool {
        false
    }

    pub(super) fn held_bytes(&self) -> usize {
        0
    }
}
