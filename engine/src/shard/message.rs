//! The messages between shards.

use super::breaker_change::BreakerChange;
use crate::cluster::ClusterMessage;
use crate::connection::posted::PostedMessage;
use crate::guard::limit::failures::Attempt;
use crate::guard::limit::shard::LimitMessage;
use crate::mcp::{Delivery, EventId, Forwarded, TaskWatchMessage};

/// A message in a lane.
#[derive(Debug)]
pub(crate) enum ShardMessage {
    /// A request for a session of the receiver.
    Forward(Box<Forwarded>),
    /// A message for a stream of HTTP+SSE of the receiver.
    Post(Box<PostedMessage>),
    /// A part of an answer for a connection of the receiver.
    Deliver(Delivery),
    /// Of a listener and the home of its tasks.
    Watch(Box<TaskWatchMessage>),
    /// About the limits of a client.
    Limit(Box<LimitMessage>),
    /// A credential failed that came from this source.
    FailedCredential(Attempt),
    /// An upstream fails, or works again.
    BreakerChange(BreakerChange),
    /// Of the thread of the cluster.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(dead_code, reason = "there is no such thread")
    )]
    Cluster(ClusterMessage),
    /// A message to a session of the receiver whose stream was lost before it arrived.
    Undelivered(Box<(EventId, Vec<u8>)>),
}
