//! The result of a reload as JSON, for the control socket.

use serde_json::{Value, json};

use super::reload_result::UpstreamChange;
use crate::profile::KnobChange;

/// The knobs that a reload changed.
pub(super) fn rows_of(changes: &[KnobChange]) -> Vec<Value> {
    let row = |it: &KnobChange| json!({ "key": it.key, "old": it.old, "new": it.new });
    changes.iter().map(row).collect()
}

/// The upstreams that a reload changes.
pub(super) fn upstream_rows(changes: &[UpstreamChange]) -> Vec<Value> {
    let row = |it: &UpstreamChange| json!({ "name": it.name, "change": it.kind.as_str() });
    changes.iter().map(row).collect()
}

/// A knob that refuses a reload.
pub(super) fn refused_row(change: &KnobChange) -> Value {
    json!({
        "key": change.key,
        "old": change.old,
        "new": change.new,
        "reason": "needs a restart: only a start applies it",
        "command": "systemctl restart corelane, or corelane stop and another start",
    })
}
