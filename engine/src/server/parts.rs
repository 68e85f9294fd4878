//! From a server to the parts of its shards, and its upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use corelane_gateway::config::Upstream;

use super::error::Result;
use super::upstreams::{FixedAndAll, board_of, check_launcher, check_upstream, declare, forwarded};
use super::{AuditThread, Server, log_of, state_keys};
use crate::catalog::{CatalogError, Plan};
use crate::handler::caller_info::ExposedHeaders;
use crate::handler::state::StateMaker;
use crate::mcp::ServerParts;
use crate::profile::Profile;

impl Server {
    /// Adds other MCP servers. Their entries become those of this one: tools and prompts under the
    /// names that their configuration gives them, resources under their URIs. They are read in the
    /// background, so the server starts without those that are down. `[[upstream]]` of the access
    /// file adds others.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use corelane::{Server, gateway};
    ///
    /// let text = "[[upstream]]\nname = \"git\"\nurl = \"http://127.0.0.1:3000/mcp\"\n";
    /// let server = Server::new("gate", "1.0.0").with_upstreams(gateway::config::parse(text)?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Upstream`] for one that cannot be served: its configuration has a part that is not
    /// supported yet, a secret cannot be read, or another one has its name.
    ///
    /// [`Error::Upstream`]: super::Error::Upstream
    pub fn with_upstreams(mut self, upstreams: Vec<Upstream>) -> Result<Server> {
        for upstream in upstreams {
            let served = check_upstream(upstream, &self.upstreams)?;
            self.upstreams.push(served);
        }
        Ok(self)
    }

    /// Sets the program that starts the programs of upstreams: a `corelane` of this version, which
    /// gives them their `limits` and has them killed with this process. Without it, an upstream
    /// with `limits` keeps the server from starting, and a program that ignores the end of its
    /// input may outlive a server that is killed.
    ///
    /// ```
    /// let server = corelane::Server::new("gate", "1.0.0").with_launcher("/usr/bin/corelane");
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn with_launcher(mut self, path: impl Into<PathBuf>) -> Server {
        self.launcher = Some(path.into());
        self
    }

    /// The parts that all its shards share, checked and encoded.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn into_parts(self, profile: &Profile) -> Result<ServerParts> {
        self.into_all_parts(profile, 1).map(|(parts, ..)| parts)
    }

    /// The same for so many shards, the writer of its audit log, its upstreams without those of its
    /// file, and all of them.
    pub(super) fn into_all_parts(
        mut self,
        profile: &Profile,
        shards: usize,
    ) -> Result<(ServerParts, Option<AuditThread>, FixedAndAll)> {
        let fixed = self.upstreams.clone();
        #[cfg(feature = "auth")]
        {
            self = self.with_access_file(profile)?;
        }
        let mut files = Vec::new();
        for directory in &self.directories {
            directory.check_apart(&[], &self.entries.resources)?;
            files.extend(directory.first_resources()?);
        }
        self.entries.resources.extend(files);
        if let Some(name) = StateMaker::duplicate(&self.states) {
            let (kind, name) = ("state of type", name.to_owned());
            return Err(CatalogError::Duplicate { kind, name }.into());
        }
        let thread = self.audited.start(profile)?;
        let audit = log_of(thread.as_ref());
        #[cfg(feature = "auth")]
        if let Some(pinned) = &mut self.entries.pinned {
            pinned.log.clone_from(&audit);
        }
        check_launcher(&self.upstreams, self.launcher.is_some())?;
        declare(&self.upstreams, &mut self.entries);
        // Handlers see them, too: a field that leaves the server is no secret in it.
        for name in forwarded(&self.upstreams) {
            let mut exposed = self.exposed_headers.iter();
            if !exposed.any(|it| it.eq_ignore_ascii_case(name)) {
                self.exposed_headers.push(name.to_owned());
            }
        }
        let plan = Plan::new(self.entries, profile.catalog.page_entries_max)?;
        let mut parts = ServerParts {
            quotas: None,
            upstreams: None,
            cluster: None,
            description: Arc::new(self.description),
            plan: Arc::new(plan),
            exposed: Arc::new(ExposedHeaders::new(&self.exposed_headers)?),
            sealer: Arc::new(state_keys::sealer(
                &profile.server.state_key_files,
                &self.reload_hooks.key,
            )?),
            states: self.states.into(),
            audit,
        };
        // A reload of the file may bring the first one.
        let has_file = profile.server.access_file.is_some();
        if has_file || !self.upstreams.is_empty() {
            parts.upstreams = Some(board_of(&self.upstreams, &parts, shards));
        }
        Ok((parts, thread, (fixed, self.upstreams)))
    }
}

#[cfg(test)]
mod tests {
    use super::Server;
    use crate::profile::Profile;
    use corelane_gateway::config;

    #[test]
    fn limits_of_a_program_need_a_launcher() {
        let text = "[[upstream]]\nname = \"up\"\ncommand = [\"a\"]\nlimits = { open_files = 9 }\n";
        let server = || {
            let upstreams = config::parse(text).expect("valid");
            let server = Server::new("gate", "1").with_upstreams(upstreams);
            server.expect("it can be served")
        };
        let refused = server().into_parts(&Profile::default()).err();
        let refused = refused.expect("nothing sets them").to_string();
        assert!(refused.contains("Server::with_launcher"), "{refused}");
        let launched = server().with_launcher("/usr/bin/corelane");
        assert!(launched.into_parts(&Profile::default()).is_ok());
    }
}
