//! WebSocket against the work of others: the cases of Autobahn, and clients of the official SDKs.
//!
//! It needs `tests/conformance/node_modules` and `tests/conformance/python_packages`, which
//! `perf-scripts/test.sh` installs.

#[path = "websocket/autobahn.rs"]
mod autobahn;
#[path = "websocket/clients.rs"]
mod clients;
#[path = "websocket/echo.rs"]
mod echo;
