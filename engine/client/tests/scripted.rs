//! The client with servers that follow a script: errors, losses and early ends that a good server
//! does not have.

#[path = "scripted/bounds.rs"]
mod bounds;
#[path = "scripted/caching.rs"]
mod caching;
#[path = "scripted/canaries.rs"]
mod canaries;
#[path = "scripted/drops.rs"]
mod drops;
#[path = "scripted/eras.rs"]
mod eras;
#[path = "scripted/http.rs"]
mod http;
#[path = "scripted/http_server.rs"]
mod http_server;
#[path = "scripted/lines.rs"]
mod lines;
#[path = "scripted/listening.rs"]
mod listening;
#[path = "scripted/tasks.rs"]
mod tasks;
