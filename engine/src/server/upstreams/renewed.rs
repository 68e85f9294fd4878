//! The renewal of credentials on the thread of upstreams.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::credential::{Credential, ServiceSource};
use super::{Control, random};
use crate::upstream::board::{ControlEvent, GrantFault, Granted};

impl Control {
    /// Lets the credential of an upstream, if it has one, handle something; requests a token on a
    /// thread of its own if that is to be done.
    pub(super) fn renew(
        &mut self,
        upstream: u16,
        handle: impl FnOnce(&mut Credential) -> Option<ServiceSource>,
    ) {
        let Some(instance) = self.instances.active(upstream) else {
            return;
        };
        let id = instance.id();
        let Some(source) = instance.credential.as_mut().and_then(handle) else {
            return;
        };
        let events = self.events.clone();
        let thread = thread::Builder::new().name("token".to_owned());
        let request = move || {
            let _ = events.send(ControlEvent::Granted(upstream, id, source.request()));
        };
        if let Err(error) = thread.spawn(request) {
            let fault = GrantFault {
                is_refused: false,
                text: error.to_string(),
            };
            let event = ControlEvent::Granted(upstream, id, Err(fault));
            let _ = self.events.send(event);
        }
    }

    /// A token was granted to an instance, or was not.
    pub(super) fn handle_granted(
        &mut self,
        upstream: u16,
        id: u64,
        granted: std::result::Result<Granted, GrantFault>,
    ) {
        let (now, random) = (Instant::now(), random());
        let Some(instance) = self.instances.active(upstream).filter(|it| it.id() == id) else {
            return;
        };
        let name = Arc::clone(instance.name());
        let Some(credential) = &mut instance.credential else {
            return;
        };
        if let Err(fault) = &granted {
            let fault = &*fault.text;
            tracing::warn!(upstream = &*name, fault, "its credential is not renewed");
        }
        let was_there = credential.is_there();
        credential.handle_granted(granted, now, random);
        if credential.is_there() && !was_there {
            instance.tracked.refresh(now);
        }
        self.publish_table();
    }
}
