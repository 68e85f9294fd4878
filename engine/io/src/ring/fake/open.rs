//! Opens rings over a network.

use super::model::Model;
use super::{FakeKernel, FakeNetwork};
use crate::buffers::BufferRing;
use crate::ring::kernel::Kernel;
use crate::ring::{Ring, RingError, RingSettings, ring_event};
use crate::wake::EventFd;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

impl FakeNetwork {
    /// A network without clients and without a ring.
    pub(crate) fn new() -> FakeNetwork {
        FakeNetwork(Rc::new(RefCell::new(Model::new())))
    }
}

impl Ring {
    /// Opens a ring over a new network.
    ///
    /// # Errors
    /// An error of mmap(2) or eventfd(2).
    pub fn over_network(settings: &RingSettings) -> Result<(Ring, FakeNetwork), RingError> {
        let network = FakeNetwork::new();
        let ring = Ring::over_network_from(0, settings, ring_event()?, &network)?;
        Ok((ring, network))
    }

    /// Opens a ring over `network`; the indexes of its descriptors begin at `base`.
    pub(crate) fn over_network_from(
        base: u32,
        settings: &RingSettings,
        park: Arc<EventFd>,
        network: &FakeNetwork,
    ) -> Result<Ring, RingError> {
        let refused = |call| move |source| RingError::Refused { call, source };
        let (count, bytes) = (settings.buffer_count, settings.buffer_bytes);
        let buffers = BufferRing::unregistered(count, bytes).map_err(refused("mmap"))?;
        let number = network.0.borrow_mut().add_ring(base, settings);
        let kernel = Kernel::Fake(FakeKernel(network.clone(), number));
        Ok(Ring::over(kernel, buffers, park, (base, settings)))
    }

    /// Whether the ring shuts connections down before it closes them, as on Linux before 6.13.
    pub fn shut_down_before_close(&mut self, does: bool) {
        self.shuts_down_before_close = does;
    }
}
