//! The addresses of a server, printed when it listens.

use std::io::Write;

use super::running::RunningServer;
use crate::profile::{Binding, Transport};

impl RunningServer {
    /// Prints the addresses and the capacity to standard output.
    pub(super) fn announce(&self) {
        let mut text = String::new();
        for address in self.addresses() {
            text += &match (address.binding, &address.transport) {
                (Binding::Http | Binding::WebSocket, Transport::Tcp(_)) => {
                    format!("listening on {address}{}\n", self.endpoint())
                }
                (Binding::Http | Binding::WebSocket, Transport::Unix(_)) => {
                    format!("listening on {address}, endpoint {}\n", self.endpoint())
                }
                (Binding::Lines, _) => format!("listening on {address}\n"),
            };
        }
        text += &format!(
            "shards: {}, connections per shard: {}\nmemory: {}\n",
            self.shards(),
            self.connections_per_shard(),
            self.memory(),
        );
        if let Some(address) = self.metrics_address() {
            text += &format!("metrics: http://{address}/metrics\n");
        }
        // It need not be read.
        let mut output = std::io::stdout();
        if let Err(error) = output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush())
        {
            tracing::warn!(%error, "standard output cannot be written");
        }
    }
}
