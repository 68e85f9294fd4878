//! Shards on the thread of a test: their clock is set and their turns are made by the test.

mod broadcasts;
mod delivery;
mod drain;
mod output;
mod test_shard;
