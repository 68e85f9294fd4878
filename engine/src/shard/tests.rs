//! Shards on the thread of a test: their clock is set and their turns are made by the test.

mod accepting;
mod broadcasts;
mod deadlines;
mod decoded;
mod delivery;
mod departures;
mod drain;
mod leftover;
mod live_shard;
mod output;
mod test_shard;
