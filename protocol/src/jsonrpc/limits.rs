//! Limits on the work that one JSON text causes.
//!
//! Invariant: with these limits and a bound on the message's bytes, the memory of one decode is
//! bounded too (see [`JsonLimits::nodes_max`]). It lacks the bound on the message's bytes itself:
//! that belongs to the framing, which refuses a long message before it is whole.

/// The deepest nesting any profile may allow, in levels.
///
/// Writing a value, digesting it and reading it with serde recurse once for each level, so this
/// bounds the stack: all of them fit 1 MiB, unoptimised. The handler keeps half of a thread's
/// default stack.
pub(super) const DEPTH_CEILING: usize = 256;

/// Limits on one JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Nesting of arrays and objects, in levels, 1 to 256. A scalar has depth 0, `[]` has 1.
    pub depth_max: usize,
    /// Values plus member names in one text, at least 1.
    ///
    /// A node takes 24 bytes on the tape, and the parser keeps 4 bytes for each structural
    /// character, of which a valid text has at most three a node. A decode therefore touches at
    /// most 36 bytes a node beside two copies of the message.
    pub nodes_max: usize,
    /// A string `id`, in bytes after unescaping.
    pub id_bytes_max: usize,
    /// The `method`, in bytes after unescaping.
    pub method_bytes_max: usize,
}

impl Default for JsonLimits {
    fn default() -> JsonLimits {
        JsonLimits::DEFAULT
    }
}

impl JsonLimits {
    /// Limits in force unless a profile says otherwise; the defaults of the profile are these.
    pub const DEFAULT: JsonLimits = JsonLimits {
        depth_max: 128,
        nodes_max: 1_000_000,
        id_bytes_max: 256,
        method_bytes_max: 128,
    };

    /// Checks the relations between the limits.
    ///
    /// # Panics
    /// If `depth_max` is not within 1 to 256 or `nodes_max` is 0: profiles are validated before a
    /// shard starts, so this is our own bug.
    pub(super) fn assert_usable(&self) {
        assert!(
            (1..=DEPTH_CEILING).contains(&self.depth_max),
            "depth_max of {} is not within 1 to {DEPTH_CEILING}",
            self.depth_max
        );
        assert!(self.nodes_max >= 1, "nodes_max of 0 admits no text");
    }
}
