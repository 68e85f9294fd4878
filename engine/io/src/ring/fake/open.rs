//! Opens a ring over a network.

use super::model::Model;
use super::{FakeKernel, FakeNetwork};
use crate::buffers::BufferRing;
use crate::ring::kernel::Kernel;
use crate::ring::{Ring, RingError, RingSettings};
use crate::wake::EventFd;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

impl Ring {
    /// Opens a ring over a new network.
    ///
    /// # Errors
    /// An error of mmap(2) or eventfd(2).
    pub fn over_network(settings: &RingSettings) -> Result<(Ring, FakeNetwork), RingError> {
        let refused = |call| move |source| RingError::Refused { call, source };
        let (count, bytes) = (settings.buffer_count, settings.buffer_bytes);
        let buffers = BufferRing::unregistered(count, bytes).map_err(refused("mmap"))?;
        let park = Arc::new(EventFd::open().map_err(refused("eventfd"))?);
        let network = FakeNetwork(Rc::new(RefCell::new(Model::new(settings))));
        let kernel = Kernel::Fake(FakeKernel(network.clone()));
        let ring = Ring::over(kernel, buffers, park, settings.indexes_from(0));
        Ok((ring, network))
    }

    /// Whether the ring shuts connections down before it closes them, as on Linux before 6.13.
    pub fn shut_down_before_close(&mut self, does: bool) {
        self.shuts_down_before_close = does;
    }
}
