//! One shard on a real ring: its turns are taken by the test, its clock is moved by it.

mod accepting;
mod deadlines;
mod departures;
mod leftover;
mod rig;
