//! The server with the work of others: clients of the official SDKs over every transport, a page in
//! a browser, commands of the documentation, and the proxies of `deploy/`.
//!
//! It needs nginx, haproxy, chromium, socat, curl, `tests/conformance/node_modules` and
//! `tests/conformance/python_packages`, which `perf-scripts/test.sh` installs.

#[path = "interop/browser.rs"]
mod browser;
#[path = "interop/clients.rs"]
mod clients;
#[path = "interop/commands.rs"]
mod commands;
#[path = "interop/proxies.rs"]
mod proxies;
#[path = "interop/proxy_process.rs"]
mod proxy_process;
