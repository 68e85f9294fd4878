//! Changes of a server's catalog at run time.

use std::sync::Arc;

use corelane_protocol::mcp::subscription::{ListKind, ListKinds};

use crate::catalog::Plan;
use crate::catalog::pending_updates::{ChangeError, PendingUpdates};
use crate::catalog::prompt::Prompt;
use crate::catalog::resource::Resource;
use crate::catalog::tool::Tool;

/// Changes the catalog of a running server, from any thread and from handlers. Cheap to clone.
///
/// Each shard switches to the changed catalog between two requests, and subscribed clients of both
/// eras are notified. Running calls keep the catalog that they started with.
///
/// In a cluster the entries themselves stay with this process, and the clients of all nodes are
/// notified: give every node the same ones.
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

    /// Adds a tool, or replaces the one of its name.
    ///
    /// # Errors
    /// [`ChangeError`] when the tool is not usable or the server does not run yet.
    pub fn add_tool(&self, tool: Tool) -> Result<(), ChangeError> {
        self.0
            .change(ListKind::Tools, |plan| plan.with_tool(tool))?;
        Ok(())
    }

    /// Removes the tool called `name`; returns whether there was one.
    ///
    /// # Errors
    /// [`ChangeError`] when the server does not run yet.
    pub fn remove_tool(&self, name: &str) -> Result<bool, ChangeError> {
        let edit = |plan: &Plan| Ok(plan.without_tool(name));
        self.0.change(ListKind::Tools, edit)
    }

    /// Adds a resource, or replaces the one of its URI.
    ///
    /// # Errors
    /// [`ChangeError`] when the resource is not usable or the server does not run yet.
    pub fn add_resource(&self, resource: Resource) -> Result<(), ChangeError> {
        let edit = |plan: &Plan| plan.with_resource(resource);
        self.0.change(ListKind::Resources, edit)?;
        Ok(())
    }

    /// Removes the resource at `uri`; returns whether there was one.
    ///
    /// # Errors
    /// [`ChangeError`] when the server does not run yet.
    pub fn remove_resource(&self, uri: &str) -> Result<bool, ChangeError> {
        let edit = |plan: &Plan| Ok(plan.without_resource(uri));
        self.0.change(ListKind::Resources, edit)
    }

    /// Adds a prompt, or replaces the one of its name.
    ///
    /// # Errors
    /// [`ChangeError`] when the prompt is not usable or the server does not run yet.
    pub fn add_prompt(&self, prompt: Prompt) -> Result<(), ChangeError> {
        let edit = |plan: &Plan| plan.with_prompt(prompt);
        self.0.change(ListKind::Prompts, edit)?;
        Ok(())
    }

    /// Removes the prompt called `name`; returns whether there was one.
    ///
    /// # Errors
    /// [`ChangeError`] when the server does not run yet.
    pub fn remove_prompt(&self, name: &str) -> Result<bool, ChangeError> {
        let edit = |plan: &Plan| Ok(plan.without_prompt(name));
        self.0.change(ListKind::Prompts, edit)
    }

    /// Replaces all resources whose URI starts with `prefix` by `resources`.
    pub(super) fn replace_resources(
        &self,
        prefix: &str,
        resources: Vec<Resource>,
    ) -> Result<(), ChangeError> {
        let edit = |plan: &Plan| plan.with_resources(prefix, resources);
        self.0.change(ListKind::Resources, edit)?;
        Ok(())
    }

    /// Replaces the entries of `resources` in the list by URI, without a notification.
    pub(super) fn refresh_resources(&self, resources: Vec<Resource>) -> Result<(), ChangeError> {
        let edit = |plan: &Plan| plan.with_refreshed(resources);
        self.0.change_lists(ListKinds::default(), edit)?;
        Ok(())
    }

    /// Notifies subscribed clients of the lists that differ from those with these fingerprints,
    /// which they have from another process.
    ///
    /// # Errors
    /// [`ChangeError`] when the server does not run yet.
    pub(super) fn lists_were(&self, fingerprints: &[u64]) -> Result<(), ChangeError> {
        self.0.exchange(|plan| {
            let kinds = plan.differing(fingerprints);
            let again = plan.again().filter(|_| !kinds.is_empty());
            Ok(again.map(|plan| (plan, kinds)))
        })?;
        Ok(())
    }

    /// Notifies subscribed clients of this process that the resource at `uri` has changed, which
    /// the other nodes of a cluster see by themselves.
    pub(super) fn resource_updated_here(&self, uri: &str) -> Result<(), ChangeError> {
        self.0.updated(uri, false)
    }

    /// Notifies subscribed clients that the resource at `uri` has changed, in a cluster also those
    /// of the other nodes. Several changes in quick
    /// succession may be one notification.
    ///
    /// # Errors
    /// [`ChangeError`] when too many changes wait or the server does not run yet.
    pub fn resource_updated(&self, uri: &str) -> Result<(), ChangeError> {
        self.0.updated(uri, true)
    }
}
