//! Resources to which clients have subscribed.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::board::UpstreamBoard;

/// The URI of a resource to which a client has subscribed, of this server or of an upstream. The
/// subscription ends with its drop.
#[derive(Debug)]
pub(crate) struct SubscribedUri {
    uri: Arc<str>,
    _interest: Option<Interest>,
}

/// One subscription to a resource of an upstream.
pub(super) struct Interest {
    upstream: Arc<str>,
    uri: Arc<str>,
    board: Arc<UpstreamBoard>,
}

impl SubscribedUri {
    /// A resource of this server.
    pub(crate) fn own(uri: &str) -> SubscribedUri {
        SubscribedUri {
            uri: uri.into(),
            _interest: None,
        }
    }

    /// A resource of an upstream. None if clients have subscribed to too many others of it.
    pub(super) fn of(
        board: &Arc<UpstreamBoard>,
        upstream: &Arc<str>,
        uri: &str,
    ) -> Option<SubscribedUri> {
        let uri: Arc<str> = uri.into();
        board.add_interest(upstream, &uri).then(|| SubscribedUri {
            uri: Arc::clone(&uri),
            _interest: Some(Interest {
                upstream: Arc::clone(upstream),
                uri,
                board: Arc::clone(board),
            }),
        })
    }
}

impl Deref for SubscribedUri {
    type Target = str;

    fn deref(&self) -> &str {
        &self.uri
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.board.remove_interest(&self.upstream, &self.uri);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Interest")
            .field(&self.upstream)
            .finish()
    }
}
