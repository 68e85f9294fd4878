//! The states of upstreams for an administrator, and the request to read the lists of one again.

use std::time::Instant;

use corelane_gateway::catalog::ListKind;
use serde_json::{Value, json};

use super::Instances;
use crate::server::upstreams::credential::Credential;

impl Instances {
    /// The states of all instances, for an administrator; `hidden` are entries of upstreams that
    /// are hidden, and why.
    pub(in crate::server::upstreams) fn inspected(
        &self,
        now: Instant,
        hidden: &[(ListKind, u16, String)],
    ) -> Vec<Value> {
        let rows = self.numbers().filter_map(|number| {
            let instance = self.used(number)?;
            let mut row = instance.tracked.inspected(now);
            let hidden = hidden.iter().filter(|(_, of, _)| *of == number);
            let hidden: Vec<&str> = hidden.map(|(.., fault)| &**fault).collect();
            let fault = instance.credential.as_ref().and_then(Credential::fault);
            row["credential_error"] = json!(fault);
            let has_failed = matches!(row["state"].as_str(), Some("failed" | "stale"));
            let conditions = [
                ("upstream_down", has_failed),
                ("upstream_crash_loop", instance.tracked.is_crash_looping()),
                ("catalog_stale", row["state"] == "stale"),
                ("catalog_truncated", row["cut"] != json!([])),
                ("names_hidden", !hidden.is_empty()),
                ("pins_changed", row["changed"] != json!([])),
                ("credential_failed", fault.is_some()),
            ];
            let conditions = conditions.into_iter().filter(|(_, holds)| *holds);
            let conditions: Vec<&str> = conditions.map(|(name, _)| name).collect();
            row["name"] = json!(&**instance.name());
            row["number"] = json!(number);
            row["stage"] = json!(instance.stage.word());
            row["hidden"] = json!(hidden);
            row["conditions"] = json!(conditions);
            Some(row)
        });
        rows.collect()
    }

    /// Reads the lists of the upstreams with this name again. Returns whether there is one.
    pub(in crate::server::upstreams) fn refresh(&mut self, name: &str, now: Instant) -> bool {
        let mut is_there = false;
        for number in self.numbers() {
            if self.name(number) == name
                && let Some(instance) = self.active(number)
            {
                instance.tracked.refresh(now);
                is_there = true;
            }
        }
        is_there
    }
}
