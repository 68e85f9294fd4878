//! Knobs of administration.

use std::path::PathBuf;

use super::knobs::{anything, knobs};

knobs! {
    /// The control socket of a running server, for `corelane status` and its like.
    #[derive(Eq)]
    Admin as "admin" {
        /// The path of a Unix socket for administration, such as "/run/corelane/control.sock", with
        /// the permissions 0600; default none. The kernel names the user of each client: only root
        /// and the user of the server are served. It needs the feature `metrics`, which the binary
        /// has, and durations are measured as for `metrics.listen`.
        socket: Option<PathBuf> = None, anything(), restart;
    }
}
