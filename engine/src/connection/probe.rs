//! Probes: paths that show supervisors and load balancers the state of the server.
//!
//! A shard answers for any `Host`: a probe reaches the server by an address. It knows which shards
//! run, because the next connection may come to any of them; the load is its own.
//! A probe is served while calls are refused, so that a server that is busy does not look dead.

use std::sync::atomic::Ordering;

use corelane_protocol::framing::http1::Status;

use super::context::Context;

/// The question of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Whether the process works: if not, a restart must help.
    Live,
    /// Whether new clients should be sent here.
    Ready,
    /// Which conditions hold.
    Health,
}

/// Verbs that the paths of probes take.
pub(super) const PROBE_VERBS: &str = "GET, HEAD, OPTIONS";

impl Probe {
    /// The probe of a path; supervisors know it by several names.
    pub(super) fn of_path(path: &str) -> Option<Probe> {
        match path {
            "/live" | "/liveness" | "/healthz" => Some(Probe::Live),
            "/ready" | "/readiness" => Some(Probe::Ready),
            "/health" => Some(Probe::Health),
            _ => None,
        }
    }

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
    let conditions = [
        (is_leaving || context.is_draining, "\"draining\""),
        (shards_down > 0, "\"shard_down\""),
        (endpoint.is_out_of_memory(), "\"out_of_memory\""),
        (endpoint.sheds_calls(), "\"throttled\""),
        (
            context.pool.output_bytes >= output_bytes_max,
            "\"output_full\"",
        ),
    ];
    let held = conditions.into_iter().filter(|(holds, _)| *holds);
    held.map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::Probe;
    use crate::profile::PROBE_PATHS;

    #[test]
    fn the_paths_that_settings_may_not_take_are_those_of_probes() {
        assert!(
            PROBE_PATHS
                .iter()
                .all(|path| Probe::of_path(path).is_some())
        );
    }
}
