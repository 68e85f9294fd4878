//! WebSocket against the work of others: the cases of Autobahn.
//!
//! It needs `tests/conformance/node_modules` and `tests/conformance/python_packages`, which
//! `perf-scripts/test.sh` installs.

#[path = "websocket/autobahn.rs"]
mod autobahn;
#[path = "websocket/echo.rs"]
mod echo;
