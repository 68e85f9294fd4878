//! The server with the work of others: clients of the official SDKs over every transport, a page in
//! a browser, the proxies of `deploy/`, and a scanner of TLS.
//!
//! It needs nginx, haproxy, chromium, `tests/conformance/node_modules` and
//! `tests/conformance/python_packages`, which `perf-scripts/test.sh` installs.

#[path = "interop/browser.rs"]
mod browser;
#[path = "interop/clients.rs"]
mod clients;
#[path = "interop/proxies.rs"]
mod proxies;
#[path = "interop/proxy_process.rs"]
mod proxy_process;
#[path = "interop/tls.rs"]
mod tls;
