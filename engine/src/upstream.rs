//! Upstreams on a shard: calls of clients that other MCP servers execute.
//!
//! | module | part |
//! |---|---|
//! | `board` | the addresses of upstreams and requests for their lists, for all shards |
//! | `endpoint` | the table of upstreams |
//! | `entry` | an entry of the catalog that an upstream executes |
//! | `exchanged_token` | a token for which that of a client was exchanged |
//! | `interest` | a resource to which a client has subscribed |
//! | `interests` | the resources of upstreams to which clients have subscribed |
//! | `legacy_call` | the parts of a call in a session, and of a handshake |
//! | `owner` | the owners of sessions with upstreams |
//! | `port` | where services leave calls for upstreams |
//! | `repeatable` | a request that is made again with answers of its client |
//! | `relay` | one call on its way, and its answer |
//!
//! The shard owns the links and takes the calls from the port. Nothing here performs I/O.

pub(crate) mod board;
pub(crate) mod endpoint;
pub(crate) mod entry;
pub(crate) mod exchanged_token;
pub(crate) mod interest;
pub(crate) mod interests;
pub(crate) mod legacy_call;
pub(crate) mod owner;
pub(crate) mod port;
pub(crate) mod relay;
pub(crate) mod repeatable;
