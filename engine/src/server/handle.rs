//! Changing what a server offers while it runs.

use std::sync::Arc;

use corelane_protocol::mcp::subscription::ListKind;

use crate::catalog::Plan;
use crate::catalog::pending_updates::{ChangeError, PendingUpdates};
use crate::catalog::prompt::Prompt;
use crate::catalog::resource::Resource;
use crate::catalog::tool::Tool;

/// Changes what a server offers while it runs, from any thread and from handlers. Cheap to clone.
///
/// Each shard switches to the changed catalog between two requests, and clients of both eras that
/// asked for it are told. Calls that run keep what they started with.
///
/// ```no_run
/// # use corelane::{Call, Server, Tool};
/// # fn main() -> std::process::ExitCode {
/// let server = Server::new("grows", "1.0.0");
/// let handle = server.handle();
/// server
///     .with_tool(Tool::new("grow", "Adds a tool.", async move |_: &Call, _: ()| {
///         handle.add_tool(Tool::new("leaf", "Is new.", async |_: &Call, _: ()| Ok("green")))?;
///         Ok("grown")
///     }))
///     .run_from_args()
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct ServerHandle(Arc<PendingUpdates>);

impl ServerHandle {
    pub(super) fn updates(&self) -> &PendingUpdates {
        &self.0
    }

    /// Adds a tool, in the place of one of its name if there is one.
    ///
    /// # Errors
    /// [`ChangeError`] when the tool is not usable or the server does not run yet.
    pub fn add_tool(&self, tool: Tool) -> Result<(), ChangeError> {
        self.0
            .change(ListKind::Tools, |plan| plan.with_tool(tool))?;
        Ok(())
    }

    /// Takes the tool called `name` away; returns whether there was one.
    ///
    /// # Errors
    /// [`ChangeError`] when the server does not run yet.
    pub fn remove_tool(&self, name: &str) -> Result<bool, ChangeError> {
        let edit = |plan: &Plan| Ok(plan.without_tool(name));
        self.0.change(ListKind::Tools, edit)
    }

    /// Adds a resource, in the place of one of its URI if there is one.
    ///
    /// # Errors
    /// [`ChangeError`] when the resource is not usable or the server does not run yet.
    pub fn add_resource(&self, resource: Resource) -> Result<(), ChangeError> {
        let edit = |plan: &Plan| plan.with_resource(resource);
        self.0.change(ListKind::Resources, edit)?;
        Ok(())
    }

    /// Takes the resource at `uri` away; returns whether there was one.
    ///
    /// # Errors
    /// [`ChangeError`] when the server does not run yet.
    pub fn remove_resource(&self, uri: &str) -> Result<bool, ChangeError> {
        let edit = |plan: &Plan| Ok(plan.without_resource(uri));
        self.0.change(ListKind::Resources, edit)
    }

    /// Adds a prompt, in the place of one of its name if there is one.
    ///
    /// # Errors
    /// [`ChangeError`] when the prompt is not usable or the server does not run yet.
    pub fn add_prompt(&self, prompt: Prompt) -> Result<(), ChangeError> {
        let edit = |plan: &Plan| plan.with_prompt(prompt);
        self.0.change(ListKind::Prompts, edit)?;
        Ok(())
    }

    /// Takes the prompt called `name` away; returns whether there was one.
    ///
    /// # Errors
    /// [`ChangeError`] when the server does not run yet.
    pub fn remove_prompt(&self, name: &str) -> Result<bool, ChangeError> {
        let edit = |plan: &Plan| Ok(plan.without_prompt(name));
        self.0.change(ListKind::Prompts, edit)
    }

    /// Puts `resources` in the place of all whose URI starts with `prefix`.
    pub(super) fn replace_resources(
        &self,
        prefix: &str,
        resources: Vec<Resource>,
    ) -> Result<(), ChangeError> {
        let edit = |plan: &Plan| plan.with_resources(prefix, resources);
        self.0.change(ListKind::Resources, edit)?;
        Ok(())
    }

    /// Tells those who asked for it that the resource at `uri` has changed. Several changes in
    /// quick succession may be told once.
    ///
    /// # Errors
    /// [`ChangeError`] when too many changes wait to be told or the server does not run yet.
    pub fn resource_updated(&self, uri: &str) -> Result<(), ChangeError> {
        self.0.updated(uri)
    }
}
