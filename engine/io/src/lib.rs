//! The mechanism of one core: a socket ring with its memory, slots and deadlines.
//!
//! A shard drives these parts from its own loop; nothing here starts a thread, reads a clock or
//! waits except [`ring::Ring::enter`]. Invariant: the [`ring::Ring`] owns every byte of memory that
//! the kernel may still touch, until the completion of the operation.
//!
//! This crate knows sockets and descriptors. It knows no protocol, no executor and no policy: the
//! caller decides which bytes to read, when to close and how long to wait.

pub mod arena;
pub mod buffers;
pub mod chunk;
pub mod executor;
pub mod lanes;
pub mod ring;
pub mod rings;
pub mod slots;
pub mod wake;
pub mod wheel;

/// A seeded source of test inputs: the seed is printed, and `CORELANE_SEED` replays one.
#[cfg(any(test, feature = "test-support"))]
pub mod rng {
    /// A xorshift generator: small, repeatable, and not for secrets.
    pub struct Rng(u64);

    impl Rng {
        /// Takes the seed from `CORELANE_SEED` or from the process id, and prints it.
        pub fn printed() -> Rng {
            let seed = std::env::var("CORELANE_SEED")
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| u64::from(std::process::id()) << 17);
            println!("CORELANE_SEED={seed}");
            Rng::seeded(seed)
        }

        /// Starts from `seed`.
        pub fn seeded(seed: u64) -> Rng {
            // Seeds that differ in a few bits only start far from each other.
            Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
        }

        /// The next number below `bound`.
        pub fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }
}
