//! How a request is to be answered.

use corelane_protocol::binding::accept::Accept;

use super::cors::Page;

/// The properties of a request that decide the framing of its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    /// The connection goes on after the answer.
    pub(crate) keep_alive: bool,
    /// The request is HEAD: its answer has no body.
    pub(crate) is_head: bool,
    /// 0 or 1, of HTTP/1.
    pub(crate) version_minor: u8,
    /// The kinds of answer the client takes.
    pub(crate) accept: Accept,
    /// The page that sent it, if the answer must name its origin.
    pub(crate) page: Option<Page>,
}
