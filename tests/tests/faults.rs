//! The fault suite: each test lets one fault happen to a server process for real, while a probe
//! calls all the time.
//!
//! Of every fault must hold: no call of the probe fails; its 99th percentile is at most three times
//! that of a quiet server, or of a server without the fault at the same time; the server is as
//! before within five seconds; and it keeps no connection, call, session, stream, event, task or
//! byte. With `CORELANE_FAULTS=long` the faults are as large as `perf-scripts/soak.sh` has them.
//!
//! It lacks the death of a shard, which no client can cause: `integration/supervision.rs` has it.

#[path = "faults/client.rs"]
mod client;
#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/credentials.rs"]
mod credentials;
#[path = "faults/handlers.rs"]
mod handlers;
#[path = "faults/limits.rs"]
mod limits;
#[path = "faults/peers.rs"]
mod peers;
#[path = "faults/priority.rs"]
mod priority;
#[path = "faults/probe.rs"]
mod probe;
#[path = "faults/trial.rs"]
mod trial;
#[path = "faults/vanished.rs"]
mod vanished;
