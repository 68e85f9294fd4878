//! The server with the work of others: clients over every transport that they have, a page in a
//! browser, commands of the documentation, the dashboard, the files of `deploy/` with Prometheus,
//! and a scanner of TLS.
//!
//! It needs nginx, haproxy, chromium, socat, curl, prometheus, systemd-analyze, python3-seccomp,
//! mandoc, zsh, fish, shellcheck, tmux, `node_modules` of `tests/dashboard`, and the folders
//! `node_modules`, `python_packages`, which has Helm too, and `python_packages_2` of
//! `tests/conformance`, which `perf-scripts/test.sh` installs.

#[path = "interop/backup.rs"]
mod backup;
#[path = "interop/browser.rs"]
mod browser;
#[path = "interop/chart.rs"]
mod chart;
#[path = "interop/clients.rs"]
mod clients;
#[path = "interop/clustered.rs"]
mod clustered;
#[path = "interop/commands.rs"]
mod commands;
#[path = "interop/dashboard.rs"]
mod dashboard;
#[path = "interop/deployed.rs"]
mod deployed;
#[path = "interop/image.rs"]
mod image;
#[path = "interop/monitored.rs"]
mod monitored;
#[path = "interop/packaged.rs"]
mod packaged;
#[path = "interop/proxies.rs"]
mod proxies;
#[path = "interop/proxy_ends.rs"]
mod proxy_ends;
#[path = "interop/proxy_process.rs"]
mod proxy_process;
#[path = "interop/restarted.rs"]
mod restarted;
#[path = "interop/rust_client.rs"]
mod rust_client;
#[path = "interop/terminal.rs"]
mod terminal;
#[path = "cluster/test_cluster.rs"]
mod test_cluster;
#[path = "interop/tls.rs"]
mod tls;
