//! Why a server does not start with an upstream.

use std::io;
use std::path::PathBuf;

use corelane_protocol::framing::http1::RequestFieldError;

#[cfg(feature = "tls")]
use crate::transport::tls::certificates::TlsError;

/// Why the server does not start with an upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// A part of its configuration needs something that this version lacks.
    #[error("upstream {name:?}: {part} is not supported yet: {remedy}")]
    Unsupported {
        /// The upstream.
        name: String,
        /// The part.
        part: &'static str,
        /// The way around.
        remedy: &'static str,
    },
    /// A secret cannot be read.
    #[error("upstream {name:?}: the value of the header {header:?}: {error}")]
    Secret {
        /// The upstream.
        name: String,
        /// The header.
        header: String,
        /// Why not.
        error: io::Error,
    },
    /// Its credential cannot be used.
    #[error("upstream {name:?}: its credential: {error}")]
    Credential {
        /// The upstream.
        name: String,
        /// Why not.
        error: String,
    },
    /// A secret of its program cannot be read.
    #[error("upstream {name:?}: the value of the variable {variable:?}: {error}")]
    Variable {
        /// The upstream.
        name: String,
        /// The variable.
        variable: String,
        /// Why not.
        error: io::Error,
    },
    /// The working directory of its program is none.
    #[error("upstream {name:?}: cwd {}: there is no such directory", path.display())]
    Directory {
        /// The upstream.
        name: String,
        /// The path.
        path: PathBuf,
    },
    /// Its program has bounds, and nothing sets them.
    #[error(
        "upstream {name:?}: limits are set by corelane: call Server::with_launcher with its path, \
         or leave them out"
    )]
    Launcher {
        /// The upstream.
        name: String,
    },
    /// Its certificate cannot be checked.
    #[cfg(feature = "tls")]
    #[error("upstream {name:?}: {error}")]
    Tls {
        /// The upstream.
        name: String,
        /// Why not.
        error: Box<TlsError>,
    },
    /// Two upstreams have one name.
    #[error("two upstreams are named {name:?}: exposed names and logs need a name of each")]
    Twice {
        /// The name.
        name: String,
    },
    /// A field of clients that no upstream got when the server started.
    #[error(
        "forward_headers has {header:?}, which no upstream got when the server started: restart it"
    )]
    Forwarded {
        /// The name of the field.
        header: String,
    },
    /// A reload replaces upstreams faster than those of before drain.
    #[error(
        "too many upstreams that were replaced still have calls: reload again later, or lower \
         gateway.drain_ms of the profile"
    )]
    TooManyDrain,
    /// The thread of upstreams has ended, or is stuck.
    #[error("the thread of upstreams does not answer: see the log, and restart the server")]
    NotTaken,
    /// A header or the URL cannot be sent.
    #[error("upstream {name:?}: {error}")]
    Head {
        /// The upstream.
        name: String,
        /// Why not.
        error: RequestFieldError,
    },
}
