//! The methods of a client.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};

use corelane_protocol::mcp::era_probe::EraChoice;
use corelane_protocol::mcp::revision::Revision;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::builder::Builder;
use crate::call::Call;
use crate::error::Error;
use crate::handshake;
use crate::listen::{self, Changes, Filter};
use crate::lists::{self, list, list_tools};
use crate::rounds;
use crate::settings::Settings;
use crate::shared::{Request, Shared};
use crate::target::{IntoTarget, Target};
use crate::tasks::Task;
use crate::types::{
    Completion, PromptInfo, PromptResult, RawResult, ReadResult, Reference, Resource,
    ResourceTemplate, ServerInfo, Tool,
};

/// Opens a connection with the default settings.
///
/// # Errors
/// As [`Builder::connect`].
///
/// ```no_run
/// # async fn run() -> Result<(), corelane_client::Error> {
/// let client = corelane_client::connect("stdio:uvx mcp-server-git").await?;
/// # Ok(())
/// # }
/// ```
pub async fn connect(target: impl IntoTarget) -> Result<Client, Error> {
    Client::builder().connect(target).await
}

/// A connection to one server. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    tasks: Arc<Tasks>,
}

/// The tasks of a connection, which end with it.
struct Tasks(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("target", &self.shared.target)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Settings to change before the connection is opened.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn open(target: Target, settings: Arc<Settings>) -> Result<Client, Error> {
        let ids = AtomicU64::new(1);
        let label = target.label().to_owned();
        let opened = handshake::open(target, &settings, &ids).await?;
        let state = (opened.wire, opened.greeting, opened.session);
        let shared = Arc::new(Shared::new(settings, label, state, ids));
        let mut others = opened.others;
        let weak = Arc::downgrade(&shared);
        let dispatch = tokio::spawn(async move {
            while let Some(message) = others.recv().await {
                let Some(shared) = weak.upgrade() else { return };
                shared.on_unsolicited(message);
            }
        });
        shared.set_level();
        let mut tasks = vec![dispatch];
        let takes_questions = shared.settings.questions.are_any();
        if takes_questions || shared.settings.on_log.is_some() {
            tasks.extend(listen::keep_stream(&shared).await);
        }
        let tasks = Arc::new(Tasks(tasks));
        Ok(Client { shared, tasks })
    }

    /// The era of the server: never [`EraChoice::Auto`].
    #[must_use]
    pub fn era(&self) -> EraChoice {
        match self.shared.is_modern() {
            true => EraChoice::Modern,
            false => EraChoice::Legacy,
        }
    }

    /// The revision that both sides speak.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.shared.revision()
    }

    /// The name and the version of the server.
    #[must_use]
    pub fn server(&self) -> &ServerInfo {
        &self.shared.greeting.server
    }

    /// The capabilities of the server, as it declared them.
    #[must_use]
    pub fn capabilities(&self) -> &Value {
        &self.shared.greeting.capabilities
    }

    /// The server's hints on its use, for a model.
    #[must_use]
    pub fn instructions(&self) -> Option<&str> {
        self.shared.greeting.instructions.as_deref()
    }

    /// Lists all tools. Those with unusable annotations are left out, and are among
    /// [`Client::warnings`].
    ///
    /// # Errors
    /// As [`Client::request`]; [`Error::Protocol`] for more than 64 pages.
    pub async fn tools(&self) -> Result<Vec<Tool>, Error> {
        list_tools(&self.shared).await
    }

    /// Lists all resources.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn resources(&self) -> Result<Vec<Resource>, Error> {
        list(&self.shared, "resources/list", "resources").await
    }

    /// Lists all templates of resources.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn templates(&self) -> Result<Vec<ResourceTemplate>, Error> {
        list(
            &self.shared,
            "resources/templates/list",
            "resourceTemplates",
        )
        .await
    }

    /// Lists all prompts.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn prompts(&self) -> Result<Vec<PromptInfo>, Error> {
        list(&self.shared, "prompts/list", "prompts").await
    }

    /// Calls a tool; see [`Call`] for settings of one call. A tool that fails is a result with
    /// `is_error`, an `Err` is an error of the protocol or the connection.
    pub fn call(&self, name: &str, arguments: Value) -> Call {
        Call::new(Arc::clone(&self.shared), name, arguments)
    }

    /// The task with this id, which this or another client made with
    /// [`Call::as_task`](crate::Call::as_task). A legacy server has it in the session that made it.
    #[must_use]
    pub fn task(&self, id: &str) -> Task {
        Task::of_id(Arc::clone(&self.shared), id)
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn read(&self, uri: &str) -> Result<ReadResult, Error> {
        let key = format!("resources/read {uri}");
        let cache = &self.shared.cache;
        if let Some(kept) = cache.find(&key).as_deref().and_then(<[_]>::first) {
            return kept.parse();
        }
        let version = cache.version();
        let read = self.perform("resources/read", json!({"uri": uri}), true);
        let read = read.await?;
        let result = read.parse()?;
        cache.keep(key, &[read], version);
        Ok(result)
    }

    /// Gets a prompt with these arguments.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn prompt<K: Into<String>, V: Into<String>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = (K, V)>,
    ) -> Result<PromptResult, Error> {
        let arguments: HashMap<String, String> = arguments
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut params = json!({"name": name});
        if !arguments.is_empty() {
            params["arguments"] = json!(arguments);
        }
        self.perform("prompts/get", params, true).await?.parse()
    }

    /// Suggestions for the argument `name` that starts with `value`.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn complete(
        &self,
        reference: impl Into<Reference>,
        name: &str,
        value: &str,
    ) -> Result<Completion, Error> {
        #[derive(Deserialize)]
        struct Completed {
            completion: Completion,
        }
        let argument = json!({"name": name, "value": value});
        let params = json!({"ref": reference.into().0, "argument": argument});
        let result = self.perform("completion/complete", params, true).await?;
        Ok(result.parse::<Completed>()?.completion)
    }

    /// Receives changes of lists and resources.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn listen(&self, filter: Filter) -> Result<Changes, Error> {
        listen::listen(&self.shared, &self.tasks_alive(), filter).await
    }

    /// Performs any request.
    ///
    /// # Errors
    /// [`Error::Refused`] for an error of the server, [`Error::Timeout`], [`Error::Unknown`] if it
    /// may have been executed, [`Error::NotExecuted`] if not. A result of type `task` is returned
    /// as it is: [`Client::task`] waits for it.
    pub async fn request(&self, method: &str, params: Value) -> Result<RawResult, Error> {
        self.perform(method, params, false).await
    }

    /// Gets all pages of a list, such as that of `tools/list`, as the server wrote them.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn pages(&self, method: &str) -> Result<Vec<RawResult>, Error> {
        lists::pages(&self.shared, method).await
    }

    /// The tools of the last list that were left out, and why.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.shared.warnings.lock();
        warnings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the connection, and the session of a legacy server. Cancellations leave first; a child
    /// process gets the end of its input and 2 s to exit. Calls under way end with errors.
    pub async fn close(self) {
        self.shared.cancelled().await;
        match &self.shared.wire {
            #[cfg(feature = "http")]
            crate::wire::Wire::Http(wire) => {
                let envelope = self.shared.envelope();
                if envelope.session.is_some() {
                    self.shared.session().close();
                    wire.delete(&envelope).await;
                }
            }
            crate::wire::Wire::Lines(wire) => wire.close().await,
        }
    }

    /// Keeps the tasks of the connection alive.
    fn tasks_alive(&self) -> Arc<dyn Send + Sync> {
        let tasks: Arc<dyn Send + Sync> = Arc::clone(&self.tasks) as _;
        tasks
    }

    async fn perform(
        &self,
        method: &str,
        params: Value,
        is_idempotent: bool,
    ) -> Result<RawResult, Error> {
        let request = Request {
            is_idempotent,
            ..self.shared.request(method, params)
        };
        let performed = rounds::perform(&self.shared, request).await?;
        Ok(RawResult(performed.result))
    }
}
