//! The size of a run.

/// What a run consists of. With the seed it decides everything.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Clients, each with one session at a time.
    pub clients: usize,
    /// Seconds with faults.
    pub faulty_s: u64,
    /// Requests go to the owner of their session; otherwise the session comes to them.
    pub forwards: bool,
    /// The mutation of the core, if it is broken on purpose.
    pub mutation: Option<&'static str>,
    /// Indexes of faults that are left out.
    pub without: Vec<usize>,
    /// Print each event.
    pub is_traced: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            nodes: 3,
            clients: 100,
            faulty_s: 45,
            forwards: true,
            mutation: None,
            without: Vec::new(),
            is_traced: false,
        }
    }
}

/// Seconds after the faults in which everything must become whole again.
pub const SETTLE_S: u64 = 12;
/// Seconds without requests at the end of a run, before the last check.
pub const QUIET_S: u64 = 3;

/// Seconds without use after which a session of these runs ends.
pub(crate) const IDLE_S: u64 = 20;
/// Seconds for which a record outlives that.
pub(crate) const RECORD_MARGIN_S: u64 = 15;

/// Breaks of the core, each in one line. The simulator must find every one of them.
pub const MUTATIONS: &[&str] = &[
    "skip_revision",
    "reuse_incarnation",
    "outlive_successor",
    "forget_tombstone",
    "no_tombstone",
    "reuse_sequence",
    "run_on_unknown",
    "missing_when_gone",
    "no_doubt_after_pause",
    "no_doubt_after_isolation",
    "drop_on_full_lane",
    "ignore_generation",
    "accept_twice",
    "any_principal",
    "revive_ended",
    "old_proof",
    "no_notice",
    "serve_unheard",
    "write_after_conflict",
    "no_gap_repair",
    "promote_early",
    "refuse_unknown",
    "reuse_event",
];
