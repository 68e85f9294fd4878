//! The public settings of a client.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use corelane_protocol::mcp::era_probe::EraChoice;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::auth::Auth;
use crate::cache::CachePolicy;
use crate::client::Client;
use crate::error::Error;
use crate::questions::{Elicit, ElicitAnswer, Root, Sample, SampleRefusal};
use crate::settings::{LogMessage, Settings, Traffic};
use crate::target::IntoTarget;

/// The settings of a client; [`Builder::connect`] opens its connection.
#[derive(Clone, Default)]
pub struct Builder(Settings);

impl std::fmt::Debug for Builder {
    /// Header fields stay out: they may be credentials.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("name", &self.0.name)
            .field("era", &self.0.era)
            .field("questions", &self.0.questions)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// The name and the version that the client sends about itself.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>, version: impl Into<String>) -> Builder {
        (self.0.name, self.0.version) = (name.into(), version.into());
        self
    }

    /// Answers elicitations, in either era, and declares the capability.
    #[must_use]
    pub fn on_elicit<F, A>(mut self, handler: F) -> Builder
    where
        F: Fn(Elicit) -> A + Send + Sync + 'static,
        A: Future<Output = ElicitAnswer> + Send + 'static,
    {
        self.0.questions.set_elicit(handler);
        self
    }

    /// Samples messages of a model, in either era, and declares the capability. The result is that
    /// of `sampling/createMessage`: `role`, `content` and `model`.
    #[must_use]
    pub fn on_sample<F, A>(mut self, handler: F) -> Builder
    where
        F: Fn(Sample) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Value, SampleRefusal>> + Send + 'static,
    {
        self.0.questions.set_sample(handler);
        self
    }

    /// The roots of the client, which the server may list.
    #[must_use]
    pub fn roots<R: Into<Root>>(mut self, roots: impl IntoIterator<Item = R>) -> Builder {
        let roots = roots.into_iter().map(Into::into).collect();
        self.0.questions.set_roots(roots);
        self
    }

    /// Receives the log of the server, from level `info` on unless [`Builder::log_level`] names
    /// another one. It must not block.
    #[must_use]
    pub fn on_log(mut self, handler: impl Fn(LogMessage) + Send + Sync + 'static) -> Builder {
        self.0.on_log = Some(Arc::new(handler));
        self
    }

    /// The least severe level of the server's log: one of the eight syslog levels in lower case.
    #[must_use]
    pub fn log_level(mut self, level: impl Into<String>) -> Builder {
        self.0.log_level = level.into();
        self
    }

    /// The eras that the client speaks; by default that of the server.
    #[must_use]
    pub fn era(mut self, era: EraChoice) -> Builder {
        self.0.era = era;
        self
    }

    /// How long a call may be silent; progress starts it anew. 60 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.0.timeout = timeout;
        self
    }

    /// How long a call may take in all. 300 s by default.
    #[must_use]
    pub fn max_timeout(mut self, max_timeout: Duration) -> Builder {
        self.0.max_timeout = max_timeout;
        self
    }

    /// The results that the client keeps while a modern server says that they are fresh; lists by
    /// default.
    ///
    /// ```
    /// # use corelane_client::{CachePolicy, Client};
    /// let builder = Client::builder().cache(CachePolicy::Off);
    /// ```
    #[must_use]
    pub fn cache(mut self, policy: CachePolicy) -> Builder {
        self.0.cache = policy;
        self
    }

    /// The most requests in flight, 1,024 by default and at least 1; more of them wait for their
    /// turn.
    #[must_use]
    pub fn calls_max(mut self, calls_max: usize) -> Builder {
        self.0.calls_max = calls_max.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Refuses requests beyond [`Builder::calls_max`] with [`Error::NotExecuted`], instead of
    /// letting them wait.
    ///
    /// ```
    /// # use corelane_client::Client;
    /// let builder = Client::builder().calls_max(64).refuse_excess_calls();
    /// ```
    #[must_use]
    pub fn refuse_excess_calls(mut self) -> Builder {
        self.0.refuses_excess = true;
        self
    }

    /// A header field of every HTTP request, such as `X-Api-Key`. `Mcp-*` fields are computed, and
    /// cannot be set.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Builder {
        self.0.fields.push((name.into(), value.into()));
        self
    }

    /// Sends this access token with every HTTP request.
    #[must_use]
    pub fn bearer(self, token: &str) -> Builder {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Gets the credentials of HTTP requests from `auth`.
    #[must_use]
    pub fn auth(mut self, auth: impl Auth + 'static) -> Builder {
        self.0.auth = Some(Arc::new(auth));
        self
    }

    /// Sees the traffic of the client, its handshake included. It must not block. Requests to
    /// authorization servers are not shown.
    ///
    /// ```
    /// # use corelane_client::{Client, Traffic};
    /// let builder = Client::builder().on_traffic(|part| match part {
    ///     Traffic::Sent(text) => eprintln!("> {}", String::from_utf8_lossy(text)),
    ///     Traffic::Received(text) => eprintln!("< {}", String::from_utf8_lossy(text)),
    ///     Traffic::Head(_) => {}
    /// });
    /// ```
    #[must_use]
    pub fn on_traffic(mut self, handler: impl Fn(Traffic<'_>) + Send + Sync + 'static) -> Builder {
        self.0.on_traffic = Some(Arc::new(handler));
        self
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`Error::Connect`] if there is no server, [`Error::Auth`] if it wants credentials,
    /// [`Error::Protocol`] if it does not speak MCP.
    pub async fn connect(self, target: impl IntoTarget) -> Result<Client, Error> {
        Client::open(target.into_target()?, Arc::new(self.0)).await
    }
}
