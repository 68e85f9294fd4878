//! Tests of the whole server over real sockets, mostly one process for each test; one module for
//! each subject.
//!
//! All tests are one binary, so that it links once and its tests share the machine's cores. No test
//! sleeps to let an event happen, takes a fixed port or reaches beyond loopback.

#[path = "integration/access.rs"]
mod access;
#[path = "integration/access_file.rs"]
mod access_file;
#[path = "integration/administration.rs"]
mod administration;
#[path = "integration/audited.rs"]
mod audited;
#[path = "integration/cancellation.rs"]
mod cancellation;
#[path = "integration/capacity.rs"]
mod capacity;
#[path = "integration/cardinality.rs"]
mod cardinality;
#[path = "integration/changes.rs"]
mod changes;
#[path = "integration/completions.rs"]
mod completions;
#[path = "integration/cores.rs"]
mod cores;
#[path = "integration/crossing.rs"]
mod crossing;
#[path = "integration/deadlines.rs"]
mod deadlines;
#[path = "integration/demo.rs"]
mod demo;
#[path = "integration/departures.rs"]
mod departures;
#[path = "integration/directories.rs"]
mod directories;
#[path = "integration/endings.rs"]
mod endings;
#[path = "integration/eras.rs"]
mod eras;
#[path = "integration/events.rs"]
mod events;
#[path = "integration/eviction.rs"]
mod eviction;
#[path = "integration/exposed_headers.rs"]
mod exposed_headers;
#[path = "integration/features.rs"]
mod features;
#[path = "integration/fixture.rs"]
mod fixture;
#[path = "integration/framing.rs"]
mod framing;
#[path = "integration/gates.rs"]
mod gates;
#[path = "integration/gateway.rs"]
mod gateway;
#[path = "integration/handlers.rs"]
mod handlers;
#[path = "integration/header_params.rs"]
mod header_params;
#[path = "integration/host_check.rs"]
mod host_check;
#[path = "integration/host_script.rs"]
mod host_script;
#[path = "integration/ids.rs"]
mod ids;
#[path = "integration/init.rs"]
mod init;
#[path = "integration/injection.rs"]
mod injection;
#[path = "integration/isolation.rs"]
mod isolation;
#[path = "integration/issuer.rs"]
mod issuer;
#[path = "integration/keys.rs"]
mod keys;
#[path = "integration/large_messages.rs"]
mod large_messages;
#[path = "integration/legacy_tasks.rs"]
mod legacy_tasks;
#[path = "integration/levels.rs"]
mod levels;
#[path = "integration/limits.rs"]
mod limits;
#[path = "integration/lines.rs"]
mod lines;
#[path = "integration/listeners.rs"]
mod listeners;
#[path = "integration/listening.rs"]
mod listening;
#[path = "integration/logs.rs"]
mod logs;
#[path = "integration/macros.rs"]
mod macros;
#[path = "integration/memory.rs"]
mod memory;
#[path = "integration/messages.rs"]
mod messages;
#[path = "integration/metrics.rs"]
mod metrics;
#[path = "integration/metrics_ends.rs"]
mod metrics_ends;
#[path = "integration/metrics_parsers.rs"]
mod metrics_parsers;
#[path = "integration/origins.rs"]
mod origins;
#[path = "integration/overload.rs"]
mod overload;
#[path = "integration/pages.rs"]
mod pages;
#[path = "integration/peers.rs"]
mod peers;
#[path = "integration/pipelining.rs"]
mod pipelining;
#[path = "integration/principals.rs"]
mod principals;
#[path = "integration/probes.rs"]
mod probes;
#[path = "integration/proxied.rs"]
mod proxied;
#[path = "integration/questions.rs"]
mod questions;
#[path = "integration/refusals.rs"]
mod refusals;
#[path = "integration/refused.rs"]
mod refused;
#[path = "integration/reloads.rs"]
mod reloads;
#[path = "integration/replay.rs"]
mod replay;
#[path = "integration/resumption.rs"]
mod resumption;
#[path = "integration/revisions.rs"]
mod revisions;
#[path = "integration/schemas.rs"]
mod schemas;
#[path = "integration/secured_bytes.rs"]
mod secured_bytes;
#[path = "integration/sessions.rs"]
mod sessions;
#[path = "integration/settings.rs"]
mod settings;
#[path = "integration/shards.rs"]
mod shards;
#[path = "integration/shutdown.rs"]
mod shutdown;
#[path = "integration/sizes.rs"]
mod sizes;
#[path = "integration/startup.rs"]
mod startup;
#[path = "integration/state_keys.rs"]
mod state_keys;
#[path = "integration/stdio.rs"]
mod stdio;
#[path = "integration/streams.rs"]
mod streams;
#[path = "integration/subscriptions.rs"]
mod subscriptions;
#[path = "integration/supervision.rs"]
mod supervision;
#[path = "integration/task_status.rs"]
mod task_status;
#[path = "integration/tasks.rs"]
mod tasks;
#[path = "integration/test_client.rs"]
mod test_client;
#[path = "integration/tls.rs"]
mod tls;
#[path = "integration/tls_attacks.rs"]
mod tls_attacks;
#[path = "integration/tls_floods.rs"]
mod tls_floods;
#[path = "integration/tokio_inside.rs"]
mod tokio_inside;
#[path = "integration/tool_list.rs"]
mod tool_list;
#[path = "integration/traces.rs"]
mod traces;
#[path = "integration/unfinished.rs"]
mod unfinished;
#[path = "integration/upgrade_failures.rs"]
mod upgrade_failures;
#[path = "integration/upgraded.rs"]
mod upgraded;
#[path = "integration/upgraded_often.rs"]
mod upgraded_often;
#[path = "integration/upgrades.rs"]
mod upgrades;
#[path = "integration/version_headers.rs"]
mod version_headers;
#[path = "integration/websocket.rs"]
mod websocket;
#[path = "integration/websocket_faults.rs"]
mod websocket_faults;
