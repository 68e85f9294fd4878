//! The parts of reloads that programs use.

use std::sync::Arc;

use super::Server;
use super::error::Result;
use super::reload::{ReloadRequest, What};
use super::reload_result::{ReloadError, ReloadReport};
use super::running::RunningServer;
use crate::profile::Profile;

impl Server {
    /// Reads the profile of the running server again for a reload (`corelane reload`, SIGHUP): all
    /// of it is used or nothing. Without this a reload reads the other files again, and the profile
    /// stays. A program with a command line of its own gives its arguments to both.
    ///
    /// ```no_run
    /// # use corelane::{Profile, Server};
    /// # fn main() -> corelane::Result<()> {
    /// let server = Server::new("calculator", "1.0.0")
    ///     .with_profile_source(|| Ok(Profile::from_file("production.toml")?));
    /// server.run(Profile::from_file("production.toml")?)
    /// # }
    /// ```
    #[must_use]
    pub fn with_profile_source(
        mut self,
        read: impl Fn() -> Result<Profile> + Send + Sync + 'static,
    ) -> Server {
        self.reload_hooks.source = Some(Arc::new(read));
        self
    }

    /// Lets the program refuse another profile with a reason, or prepare for it: `check` runs after
    /// everything else was checked and before any shard uses the profile, also for
    /// `corelane reload --check`.
    ///
    /// ```
    /// # use corelane::{Profile, Server};
    /// let server = Server::new("calculator", "1.0.0").on_reload(|profile: &Profile| {
    ///     match profile.calls.timeout_ms < 1000 {
    ///         true => Err("the tools of this server take a second".to_owned()),
    ///         false => Ok(()),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn on_reload(
        mut self,
        check: impl Fn(&Profile) -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> Server {
        self.reload_hooks.check = Some(Arc::new(check));
        self
    }
}

impl RunningServer {
    /// Uses another profile from now on, and reads the file of access control, the certificates and
    /// the keys of request states again. Returns when every shard uses all of it. Connections,
    /// sessions and streams stay, and calls that run end as they began.
    ///
    /// ```no_run
    /// # use corelane::{Profile, Server};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut profile = Profile::default();
    /// let server = Server::new("calculator", "1.0.0").start(profile.clone())?;
    /// profile.sessions.per_shard_max = 1000;
    /// let report = server.reload(profile)?;
    /// assert_eq!(report.changed[0].key, "sessions.per_shard_max");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ReloadError`]: why nothing changed, or that a shard was too late.
    pub fn reload(&self, profile: Profile) -> std::result::Result<ReloadReport, ReloadError> {
        let reloader = self.reloader.as_ref().ok_or(ReloadError::Draining)?;
        reloader.reload(ReloadRequest {
            what: What::Given(Box::new(profile)),
            ..ReloadRequest::default()
        })
    }
}
