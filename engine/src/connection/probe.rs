//! Probes: paths that show supervisors and load balancers the state of the server.
//!
//! A shard answers for any `Host`: a probe reaches the server by an address. It knows which shards
//! run, because the next connection may come to any of them; the load is its own.
//! A probe is served while calls are refused, so that a server that is busy does not look dead.

use std::sync::atomic::Ordering;

use corelane_protocol::framing::http1::Status;

use super::context::Context;
use crate::profile::Probe;

/// Verbs that the paths of probes take.
pub(super) const PROBE_VERBS: &str = "GET, HEAD, OPTIONS";

impl Probe {
    /// The answer, in JSON.
    pub(super) fn answer(self, context: &Context<'_>) -> (Status, String) {
        let conditions = conditions(context);
        let listed = format!("[{}]", conditions.join(","));
        match self {
            Probe::Live => (Status::Ok, r#"{"status":"live"}"#.to_owned()),
            Probe::Ready if conditions.is_empty() => {
                (Status::Ok, r#"{"status":"ready"}"#.to_owned())
            }
            Probe::Ready => (
                Status::ServiceUnavailable,
                format!(r#"{{"status":"not ready","conditions":{listed}}}"#),
            ),
            Probe::Health => {
                let status = match conditions.is_empty() {
                    true => "ok",
                    false => "degraded",
                };
                (
                    Status::Ok,
                    format!(r#"{{"status":"{status}","conditions":{listed}}}"#),
                )
            }
        }
    }
}

/// The conditions that hold, each as a string of JSON: any of them is a reason to send new clients
/// to another server.
fn conditions(context: &Context<'_>) -> Vec<&'static str> {
    let endpoint = &context.endpoint;
    let output_bytes_max = context.rules.connection.output_bytes_per_shard_max;
    let is_leaving = context.readiness.is_leaving.load(Ordering::Relaxed);
    let shards_down = context.readiness.shards_down.load(Ordering::Relaxed);
    let upstreams_down = context.readiness.upstreams_down.load(Ordering::Relaxed);
    let conditions = [
        (is_leaving || context.is_draining, "\"draining\""),
        (shards_down > 0, "\"shard_down\""),
        (upstreams_down > 0, "\"upstream_required_down\""),
        (endpoint.is_out_of_memory(), "\"out_of_memory\""),
        (endpoint.sheds_calls(), "\"throttled\""),
        (endpoint.is_audit_failing(), "\"audit_unavailable\""),
        (
            context.pool.output_bytes >= output_bytes_max,
            "\"output_full\"",
        ),
    ];
    let held = conditions.into_iter().filter(|(holds, _)| *holds);
    held.map(|(_, name)| name).collect()
}
