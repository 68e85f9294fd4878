//! Commands for the thread of a cluster, and its first report.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use corelane_cluster::id::Process;
use corelane_cluster::operators::StepRefused;
use corelane_protocol::request_state::Sealer;
use serde_json::Value;

/// A command for the thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Describe the cluster.
    Status(SyncSender<Value>),
    /// Seal and open with these keys from now on.
    SetKeys(Arc<Sealer>),
    /// Whether other keys, with these fingerprints, may be used.
    CheckKeys(Vec<u64>, SyncSender<Result<(), StepRefused>>),
    /// Raise the level of records to the highest that this version writes; the answer has the level
    /// of now and that one.
    Finalize(SyncSender<Result<(u8, u8), StepRefused>>),
    /// Give the sessions of this node away.
    Drain,
    /// End, after that was done.
    Stop,
}

/// How the start of the thread went.
pub(super) enum Started {
    /// The node has joined.
    Joined,
    /// Another process has its number.
    Taken(Process),
    /// It cannot begin at all.
    Failed(String),
}

/// The message to the operator if another process has the number of this node.
pub(super) fn taken_text(by: Process) -> String {
    format!(
        "cluster.node = {} of the profile: a live process of the cluster has this number (its \
         start number {}): stop it, or give this one another number",
        by.node, by.incarnation
    )
}
