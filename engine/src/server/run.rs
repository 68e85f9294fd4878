//! A server that is the whole of its process: until a signal, or until another process takes over.

use std::sync::Arc;

use super::error::{Error, Result};
use super::running::RunningServer;
use super::successor::Successor;
use super::{AdminListener, BoundAdmin, Server, systemd, texts_of};
use crate::handover::rows::SocketRow;
use crate::log;
use crate::profile::Profile;

impl Server {
    /// Serves until SIGTERM or SIGINT, then drains. Prints the listening address to standard
    /// output, or serves standard input and output as [`Server::run_stdio`] does if the profile
    /// sets it. Logs to standard error as `[log]` of the profile sets, unless the program has
    /// installed a `tracing` subscriber of its own.
    ///
    /// # Errors
    /// Everything that keeps the server from starting, and the failure of a shard.
    pub fn run(self, profile: Profile) -> Result<()> {
        log::start(&profile.log).map_err(Error::Log)?;
        let ended = self.run_until_signal(profile);
        log::flush();
        ended
    }

    fn run_until_signal(mut self, profile: Profile) -> Result<()> {
        if profile.server.stdio {
            return self.serve_stdio(profile);
        }
        let signals = RunningServer::catch_signals()?;
        let mut successor = None;
        if let Some((begun, inherited)) = Successor::begin()? {
            self.inherited = Some(inherited);
            successor = Some(begun);
        }
        if let Some(key) = successor.as_mut().and_then(Successor::take_key) {
            self.reload_hooks.key = key;
        }
        let control = self.inherited.as_mut().and_then(|it| it.control.take());
        let (admin, handle) = (profile.admin.clone(), self.handle());
        let key = self.reload_hooks.key.clone();
        let addresses = texts_of(&profile);
        let mut server = self.start(profile).inspect_err(|error| {
            if let Some(successor) = &successor {
                successor.fail(error);
            }
        })?;
        let is_ending = Arc::default();
        // All that can fail comes before it takes over.
        let prepare = || {
            let upgrader = server.upgrader(addresses.clone(), (handle.clone(), key))?;
            let upgrades = Some(Arc::clone(&upgrader));
            server.forward_signals(signals, Arc::clone(&is_ending), upgrades)?;
            Ok((upgrader, BoundAdmin::new(&admin, control)?))
        };
        let (upgrader, bound) = prepare().inspect_err(|error| {
            if let Some(successor) = &successor {
                successor.fail(error);
            }
        })?;
        let is_first = successor.is_none();
        if let Some(successor) = successor {
            successor.take_over(&server, &handle, &addresses);
            server.own_socket_files(true);
        }
        let administered = server.administered(Arc::clone(&is_ending), Arc::clone(&upgrader));
        server.admin = bound.map(|it| it.serve(administered)).transpose()?;
        if let Some(socket) = server.admin.as_mut().and_then(AdminListener::share) {
            upgrader.add_socket(SocketRow::Control, socket);
        }
        if is_first {
            server.announce();
            systemd::notify_ready();
        }
        server.run_until_signal(&is_ending)
    }
}
