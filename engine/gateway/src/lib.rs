//! The gateway to existing MCP servers, which are its upstreams.
//!
//! | module | part |
//! |---|---|
//! | [`catalog`] | lists of upstreams, page by page, and the entries that clients see |
//! | [`config`] | the upstreams of a configuration, checked |
//! | [`desktop`] | the same from the files of desktop clients |
//! | [`link`] | links to upstreams, and the calls that wait for one |
//! | [`names`] | the names that clients see of tools and prompts, and their routes |
//! | [`relay`] | relayed messages: the members that are replaced |
//! | [`session`] | sessions with upstreams of the legacy era |
//! | [`uris`] | the upstreams that URIs belong to |
//!
//! Nothing here opens a socket, starts a program or reads a clock.

pub mod catalog;
pub mod config;
pub mod desktop;
pub mod link;
pub mod names;
pub mod relay;
pub mod session;
pub mod uris;
