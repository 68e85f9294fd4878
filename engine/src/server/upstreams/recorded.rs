//! Records of definitions that have changed.

use super::Control;
use crate::guard::audit::{Event, Record};

impl Control {
    /// Logs and records definitions that have changed.
    pub(super) fn record_changed(&mut self, upstream: u16) {
        let Some(instance) = self.instances.active(upstream) else {
            return;
        };
        let (changed, is_refused) = instance.tracked.take_changed();
        let outcome = if is_refused { "refused" } else { "warned" };
        for (kind, entry) in changed {
            let upstream = &**instance.name();
            let entry = &*entry;
            tracing::warn!(
                upstream,
                kind,
                entry,
                outcome,
                "the definition of one of its entries has changed"
            );
            if let Some(log) = &self.audit {
                log.record(&Record {
                    kind: Some(kind),
                    name: Some(entry),
                    decision: Some("changed"),
                    outcome: Some(outcome),
                    ..Record::new(Event::PinMismatch, 0)
                });
            }
        }
    }
}
