//! The names of calls on their way.

/// The name of a call on its way. Names of two calls differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelayKey {
    /// Its place.
    pub(crate) index: u32,
    /// Its id on the link, which is never used again.
    pub(crate) id: u64,
}
