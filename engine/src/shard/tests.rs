//! Shards over a model of the kernel, on the thread of a test, which moves their clock and makes
//! their turns.

mod accepting;
mod admission;
mod arrivals;
mod broadcasts;
mod client;
mod deadlines;
mod deaths;
mod decoded;
mod delivery;
mod departures;
mod drain;
mod drained_lines;
mod input;
mod leftover;
mod loop_delay;
mod memory;
mod output;
mod proxied;
mod random;
mod reading;
mod rings;
mod sessions;
mod settings;
mod spinning;
mod sse;
mod test_shard;
mod websocket;
