//! Signals of a server that is the whole of its process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

use super::error::{Error, Result};
use super::event::Event;
use super::running::RunningServer;
use super::upgrade::Upgrader;
use crate::log;

impl RunningServer {
    /// From this call on SIGTERM, SIGINT, SIGHUP and SIGUSR2 wait for
    /// [`RunningServer::forward_signals`].
    pub(super) fn catch_signals() -> Result<Signals> {
        Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR2]).map_err(Error::Signals)
    }

    /// Turns SIGTERM and SIGINT into events. Once `is_ending` is set, as by the first of them, a
    /// signal ends the process at once. SIGHUP is a reload, and SIGUSR2 an upgrade.
    pub(super) fn forward_signals(
        &self,
        mut signals: Signals,
        is_ending: Arc<AtomicBool>,
        upgrader: Option<Arc<Upgrader>>,
    ) -> Result<()> {
        let events = self.events();
        let reloader = self.reloader.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in signals.forever() {
                    if signal == SIGHUP {
                        if let Some(reloader) = &reloader {
                            reloader.request();
                        }
                        continue;
                    }
                    if signal == SIGUSR2 {
                        match &upgrader {
                            Some(upgrader) => upgrader.request(),
                            None => tracing::error!("standard input and output have no upgrade"),
                        }
                        continue;
                    }
                    if is_ending.swap(true, Ordering::Relaxed) {
                        // A second signal requests an immediate end.
                        tracing::warn!("a second signal: ending without the calls in flight");
                        log::flush();
                        std::process::exit(128 + signal);
                    }
                    let _ = events.send(Event::Signal);
                }
            })
            .map_err(Error::Signals)?;
        Ok(())
    }
}
