//! The paths of probes, which no setting may give to anything else.

/// The question of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Whether the process works: if not, a restart must help.
    Live,
    /// Whether new clients should be sent here.
    Ready,
    /// Which conditions hold.
    Health,
}

impl Probe {
    /// The probe of a path; supervisors know it by several names.
    pub(crate) fn of_path(path: &str) -> Option<Probe> {
        match path {
            "/live" | "/liveness" | "/healthz" => Some(Probe::Live),
            "/ready" | "/readiness" => Some(Probe::Ready),
            "/health" => Some(Probe::Health),
            _ => None,
        }
    }
}
