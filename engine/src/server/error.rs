//! Why a server does not start, or stops.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::state_keys::StateKeyError;
use super::upstream_error::UpstreamError;
use crate::catalog::CatalogError;
use crate::files::FilesError;
use crate::guard::network::NetworkError;
use crate::guard::origin::OriginPolicyError;
use crate::handler::caller_info::ExposedHeaderError;
use crate::profile::ProfileError;
use crate::profile::cores::CoreError;
use crate::profile::descriptors::DescriptorError;
use crate::shard::error::ShardError;
use crate::transport::listener::ListenError;
use crate::transport::stdio::StdioError;
#[cfg(feature = "tls")]
use crate::transport::tls::certificates::TlsError;

/// Why a server does not start, or stops.
///
/// Its `Debug` form is its message: `main` prints that of the error it returns.
#[derive(thiserror::Error)]
pub enum Error {
    /// The tuning profile is wrong.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// An option of the command line is for a listener, and there is none.
    #[error(
        "{option} has no effect with server.stdio = true of the profile, which listens nowhere: \
         remove one of them, or give --listen HOST:PORT to listen there instead"
    )]
    NothingListens {
        /// The option.
        option: &'static str,
    },
    /// The file of access control is not usable, or names entries that the catalog does not have.
    #[error("{0}")]
    Access(String),
    /// The cores are not there.
    #[error(transparent)]
    Cores(#[from] CoreError),
    /// The thread of the cluster cannot be made.
    #[cfg(feature = "cluster")]
    #[error("the thread of the cluster cannot be made: {0}")]
    Cluster(#[source] io::Error),
    /// The limit on open files leaves no room.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    /// The catalog is wrong.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificates of listeners with TLS cannot be used.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The thread of the access log, of slow requests and of spans cannot be made.
    #[error("cannot start the thread of request records: {0}")]
    Records(io::Error),
    /// The thread that looks at certificates cannot be made.
    #[cfg(feature = "tls")]
    #[error("cannot start the thread that looks for new certificates: {0}")]
    Certificates(io::Error),
    /// An address that other hosts reach is not protected: a line for each fault.
    #[error("{0}")]
    Public(String),
    /// The allowed hosts or origins are wrong.
    #[error(transparent)]
    Origin(#[from] OriginPolicyError),
    /// The networks of proxies are wrong.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A shard does not start, or failed.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The threads of a role cannot be kept to its cores.
    #[error(
        "cannot keep threads to the cores of their role in the [[core]] sections: {0}; check that \
         these cores are online and in the control group of the process"
    )]
    Affinity(io::Error),
    /// The address of metrics cannot be listened on.
    #[error("cannot listen for metrics on {address}: {error}; see metrics.listen of the profile")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// A thread for offloaded work cannot be made.
    #[error("cannot start the offload pool: {0}")]
    Offload(io::Error),
    /// The thread that supervises the shards cannot be made.
    #[error("cannot start the supervisor of the shards: {0}")]
    Supervisor(io::Error),
    /// The thread of the tokio runtime cannot be made.
    #[error("cannot start the tokio runtime of the handlers: {0}")]
    Runtime(io::Error),
    /// The thread of upstreams cannot be made.
    #[error("cannot start the thread that reads the lists of upstreams: {0}")]
    Upstreams(io::Error),
    /// An upstream cannot be served.
    #[error(transparent)]
    Upstream(UpstreamError),
    /// A directory cannot be served.
    #[error("cannot serve the directory {}: {error}", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// Why not.
        error: FilesError,
    },
    /// The files of a directory and something else have URIs in common.
    #[error(
        "the directory at {prefix:?} would share URIs with {other:?}: neither may begin with the \
         other, so choose another prefix"
    )]
    DirectoryOverlaps {
        /// Prefix of the URIs of the directory.
        prefix: String,
        /// Prefix of another directory, or the URI of a resource.
        other: String,
    },
    /// Changes of a directory cannot be watched.
    #[error("cannot watch a directory: {0}")]
    Files(#[from] FilesError),
    /// A header that handlers are to see is none.
    #[error(transparent)]
    ExposedHeader(#[from] ExposedHeaderError),
    /// A key for request states is wrong.
    #[error(transparent)]
    StateKey(#[from] StateKeyError),
    /// There is no audit log.
    #[cfg(feature = "auth")]
    #[error(transparent)]
    Audit(#[from] crate::audit::AuditError),
    /// The thread that writes the log cannot be made.
    #[error("cannot start the thread that writes the log: {0}")]
    Log(io::Error),
    /// Standard input and output cannot be served.
    #[error(transparent)]
    Stdio(#[from] StdioError),
    /// The client in memory cannot be connected.
    #[error("cannot connect the test client: {0}")]
    TestClient(io::Error),
    /// This process was to take over from another one, and does not.
    #[error("cannot take over from the server that runs: {0}")]
    HandOver(String),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

/// The result of starting and running a server.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
