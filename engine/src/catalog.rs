//! The catalog: the tools, resources and prompts that a server offers.
//!
//! A [`Plan`] is made before any shard runs, and again with each change: names are checked, schemas
//! compiled, list pages encoded. Each shard makes a [`Catalog`] of its own from it, so that looking
//! up and running a handler touches no shared memory that is written.

pub(crate) mod changed_resources;
mod checked;
pub(crate) mod completer;
mod defect;
mod fingerprint;
pub(crate) mod guarded;
mod legible;
mod listed;
mod lists;
mod ordered_registry;
pub(crate) mod output;
pub(crate) mod page;
pub(crate) mod pending_updates;
#[cfg(feature = "auth")]
pub(crate) mod pinned;
pub(crate) mod plan;
pub(crate) mod prompt;
#[cfg(feature = "auth")]
pub(crate) mod registered;
mod relayed;
pub(crate) mod resource;
mod rollout;
mod rules;
pub(crate) mod schema;
pub(crate) mod schema_bounds;
mod schema_defect;
pub(crate) mod tool;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use corelane_protocol::mcp::lifecycle::Offer;
use corelane_protocol::mcp::revision::Revision;

use crate::guard::policy::{self, ArgumentSchema, EntryKind};
use crate::handler::runner::{ArgumentsRunner, ReadRunner};
use crate::meter::ShardMeter;
use completer::ShardCompleters;
pub use defect::CatalogError;
use guarded::{Guarded, ToolLimits};
use ordered_registry::OrderedRegistry;
use page::Pages;
pub(crate) use plan::{Entries, List, Plan};
use prompt::PromptParts;
pub(crate) use relayed::RelayedList;
use resource::{ResourceParts, TemplateParts};
use tool::ToolParts;

/// One shard's copy of the catalog.
pub(crate) struct Catalog {
    plan: Arc<Plan>,
    /// Of the plan; used by every request.
    offer: Offer,
    tools: Named<ShardTool>,
    resources: Named<ShardResource>,
    templates: Vec<ShardTemplate>,
    prompts: Named<ShardPrompt>,
}

/// Entries with their names.
struct Named<T> {
    entries: Vec<T>,
    /// The hash needs no protection against attacks: peers look names up and never add one.
    by_name: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
}

/// A tool on one shard.
pub(crate) struct ShardTool {
    /// The part that all shards share.
    pub(crate) parts: Arc<ToolParts>,
    /// Runs the tool here, within its limits.
    pub(crate) runner: Rc<Guarded>,
    /// The number of its name as a label of metrics.
    pub(crate) number: u16,
}

/// A resource on one shard.
pub(crate) struct ShardResource {
    /// The part that all shards share.
    pub(crate) parts: Arc<ResourceParts>,
    /// Reads it here.
    pub(crate) runner: Rc<ReadRunner>,
}

/// A template on one shard.
pub(crate) struct ShardTemplate {
    /// The part that all shards share.
    pub(crate) parts: Arc<TemplateParts>,
    /// Reads its resources here.
    pub(crate) runner: Rc<ReadRunner>,
    /// Suggest values for its variables.
    pub(crate) completers: ShardCompleters,
}

/// A prompt on one shard.
pub(crate) struct ShardPrompt {
    /// The part that all shards share.
    pub(crate) parts: Arc<PromptParts>,
    /// Fills it in here.
    pub(crate) runner: Rc<ArgumentsRunner>,
    /// The number of its name as a label of metrics.
    pub(crate) number: u16,
    /// Suggest values for its arguments.
    pub(crate) completers: ShardCompleters,
}

impl<T> Named<T> {
    fn new<'a, P: 'a>(
        parts: &'a OrderedRegistry<P>,
        name_of: impl Fn(&'a P) -> &'a str,
        make: impl Fn(&Arc<P>) -> T,
    ) -> Named<T> {
        let names = parts.iter().map(|part| Box::from(name_of(part)));
        Named {
            entries: parts.iter().map(make).collect(),
            by_name: names.zip(0..).collect(),
        }
    }

    fn find(&self, name: &str) -> Option<&T> {
        self.find_with_place(name).map(|(_, entry)| entry)
    }

    /// The entry called `name`, with its place in the order of registration.
    fn find_with_place(&self, name: &str) -> Option<(usize, &T)> {
        let place = *self.by_name.get(name)?;
        Some((place, &self.entries[place]))
    }
}

impl Catalog {
    /// The calling shard's copy of `plan`, with `limits` for its tools.
    pub(crate) fn new(plan: Arc<Plan>, limits: ToolLimits, meter: &Rc<ShardMeter>) -> Catalog {
        Catalog::after(None, plan, limits, meter)
    }

    /// The same with a new plan. Tools of both plans go on with their calls and breakers.
    pub(crate) fn renew(&mut self, plan: Arc<Plan>, limits: ToolLimits, meter: &Rc<ShardMeter>) {
        *self = Catalog::after(Some(&*self), plan, limits, meter);
    }

    /// Changes the limits of tools. Calls that run go on.
    pub(crate) fn set_limits(&self, limits: ToolLimits) {
        for tool in &self.tools.entries {
            tool.runner.set_limits(&tool.parts, limits);
        }
    }

    fn after(
        before: Option<&Catalog>,
        plan: Arc<Plan>,
        limits: ToolLimits,
        meter: &Rc<ShardMeter>,
    ) -> Catalog {
        let tool = |parts: &Arc<ToolParts>| {
            let before = before.and_then(|before| before.tool(&parts.definition.name));
            ShardTool {
                number: meter.number_of(&parts.definition.name),
                parts: Arc::clone(parts),
                runner: match before.filter(|tool| Arc::ptr_eq(&tool.parts, parts)) {
                    Some(tool) => Rc::clone(&tool.runner),
                    None => Rc::new(Guarded::new(parts, limits, meter)),
                },
            }
        };
        let template = |parts: &Arc<TemplateParts>| ShardTemplate {
            parts: Arc::clone(parts),
            runner: (parts.source)(),
            completers: ShardCompleters::new(&parts.completers),
        };
        Catalog {
            tools: Named::new(&plan.lists.tools, |it| &it.definition.name, tool),
            resources: Named::new(
                &plan.lists.resources,
                |it| &it.definition.uri,
                |parts| ShardResource {
                    parts: Arc::clone(parts),
                    runner: (parts.source)(),
                },
            ),
            templates: plan.lists.templates.iter().map(template).collect(),
            prompts: Named::new(
                &plan.lists.prompts,
                |it| &it.definition.name,
                |parts| ShardPrompt {
                    number: meter.number_of(&parts.definition.name),
                    parts: Arc::clone(parts),
                    runner: (parts.handler.source)(),
                    completers: ShardCompleters::new(&parts.completers),
                },
            ),
            offer: plan.offer(),
            plan,
        }
    }

    /// The plan that the catalog was made from.
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The tool called `name`.
    pub(crate) fn tool(&self, name: &str) -> Option<&ShardTool> {
        self.tools.find(name)
    }

    /// The tool called `name`, with its place in the order of registration.
    pub(crate) fn find_tool(&self, name: &str) -> Option<(usize, &ShardTool)> {
        self.tools.find_with_place(name)
    }

    /// The prompt called `name`, with its place in the order of registration.
    pub(crate) fn find_prompt(&self, name: &str) -> Option<(usize, &ShardPrompt)> {
        self.prompts.find_with_place(name)
    }

    /// Whether a resource of this URI exists, as far as its template shows.
    pub(crate) fn has_resource(&self, uri: &str) -> bool {
        self.resource(uri).is_some()
            || self
                .templates()
                .iter()
                .any(|template| template.parts.template.matches(uri).is_some())
    }

    /// The upstream of a resource that exists; none if it is this server's.
    pub(crate) fn upstream_of(&self, uri: &str) -> Option<u16> {
        let fits = |it: &&ShardTemplate| it.parts.template.matches(uri).is_some();
        let relayed = match self.resource(uri) {
            Some(resource) => &resource.parts.relayed,
            None => &self.templates().iter().find(fits)?.parts.relayed,
        };
        relayed.as_ref().map(|entry| entry.upstream)
    }

    /// The resource at `uri`, if it was registered by that URI.
    pub(crate) fn resource(&self, uri: &str) -> Option<&ShardResource> {
        self.resources.find(uri)
    }

    /// The templates, in the order of registration.
    pub(crate) fn templates(&self) -> &[ShardTemplate] {
        &self.templates
    }

    /// Which features there are.
    pub(crate) fn offer(&self) -> Offer {
        self.offer
    }

    /// The pages of a list in the form of `revision`, in the order of registration.
    pub(crate) fn pages(&self, list: List, revision: Revision) -> &Pages {
        &self.plan.pages[list as usize][revision as usize]
    }
}

impl policy::Entries for Plan {
    fn count(&self, kind: EntryKind) -> usize {
        let lists = &self.lists;
        match kind {
            EntryKind::Tool => lists.tools.len(),
            EntryKind::Resource => lists.resources.len(),
            EntryKind::Template => lists.templates.len(),
            EntryKind::Prompt => lists.prompts.len(),
        }
    }

    fn name(&self, kind: EntryKind, place: usize) -> &str {
        let lists = &self.lists;
        match kind {
            EntryKind::Tool => &lists.tools.at(place).definition.name,
            EntryKind::Resource => &lists.resources.at(place).definition.uri,
            EntryKind::Template => &lists.templates.at(place).definition.uri_template,
            EntryKind::Prompt => &lists.prompts.at(place).definition.name,
        }
    }

    fn arguments(&self, place: usize) -> Option<Vec<ArgumentSchema>> {
        ArgumentSchema::of_input(self.lists.tools.at(place).definition.input_schema.get())
    }
}

#[cfg(test)]
mod tests {
    use super::tool::Tool;
    use super::*;
    use crate::handler::Call;

    fn tool(name: &str, schema: &str) -> Tool {
        let run = async |_: &Call, _: serde_json::Value| Ok(());
        Tool::from_schema(name, "d", schema, run)
    }

    const ANY: &str = r#"{"type":"object"}"#;

    fn plan(tools: Vec<Tool>, page_entries_max: usize) -> Result<Plan, CatalogError> {
        Plan::new(tools.into(), page_entries_max)
    }

    fn catalog_of(plan: Arc<Plan>) -> Catalog {
        Catalog::new(plan, ToolLimits::NONE, &Rc::default())
    }

    /// Checks the startup error of a server with these tools.
    #[track_caller]
    fn check(tools: Vec<Tool>, expected: &str) {
        let refusal = plan(tools, 10).expect_err("a tool is unusable");
        let text = refusal.to_string();
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn a_tool_that_no_client_could_use_is_refused_at_the_start() {
        check(
            vec![tool("a b", ANY)],
            "tool \"a b\": a tool name has 1 to 128",
        );
        check(vec![tool("", ANY)], "tool \"\": a tool name has 1 to 128");
        check(
            vec![tool("a", "{")],
            "tool \"a\": its input schema is not JSON",
        );
        let root = "tool \"a\": its input schema must have \"type\": \"object\" at its root";
        for schema in [
            "{}",
            "true",
            "null",
            "[]",
            r#"{"type":"string"}"#,
            r#"{"type":["object"]}"#,
            r#"{"anyOf":[{"type":"object"}]}"#,
        ] {
            check(vec![tool("a", schema)], root);
        }
        let invalid = "tool \"a\": its input schema does not compile";
        for member in [
            r#""required":"a""#,
            r#""properties":{"a":{"type":"text"}}"#,
            r#""properties":{"a":{"pattern":"("}}"#,
            r#""properties":{"a":{"minimum":"1"}}"#,
            r##""properties":{"a":{"$ref":"#/$defs/none"}}"##,
            r#""properties":{"a":{"$ref":"http://127.0.0.1/schema.json"}}"#,
            r#""properties":{"a":{"$ref":"https://example.com/schema.json"}}"#,
            r#""properties":{"a":{"$ref":"file:///etc/hostname"}}"#,
            r#""properties":{"a":{"$ref":"other.json"}}"#,
        ] {
            let schema = format!(r#"{{"type":"object",{member}}}"#);
            check(vec![tool("a", &schema)], invalid);
        }
        let header = r#"{"type":"object","properties":{"a":{"type":"array","x-mcp-header":"A"}}}"#;
        check(
            vec![tool("a", header)],
            "tool \"a\": its input schema has the x-mcp-header",
        );
    }

    #[test]
    fn an_output_schema_that_cannot_be_kept_is_refused_at_the_start() {
        for (schema, fault) in [
            ("{", "its output schema is not JSON"),
            ("true", "its output schema must be a JSON object"),
            ("[]", "its output schema must be a JSON object"),
            (r#"{"type":"text"}"#, "its output schema does not compile"),
            (
                r#"{"$ref":"https://example.com/schema.json"}"#,
                "its output schema does not compile",
            ),
            (r#"{"pattern":"("}"#, "its output schema does not compile"),
        ] {
            let expected = format!("tool \"a\": {fault}");
            check(vec![tool("a", ANY).with_output_schema(schema)], &expected);
        }
        let many = vec!["true"; schema_bounds::SUBSCHEMAS_MAX].join(",");
        let many = format!(r#"{{"type":"object","anyOf":[{many}]}}"#);
        let limit = "schema exceeds the limit of 4096 subschemas";
        let expected = format!("tool \"a\": its output {limit}");
        check(vec![tool("a", ANY).with_output_schema(&*many)], &expected);
        let expected = format!("tool \"a\": its input {limit}");
        check(vec![tool("a", &many)], &expected);
    }

    #[test]
    fn revisions_share_the_pages_of_a_list_that_is_the_same_for_them() {
        let plan = plan(vec![tool("a", ANY), tool("b", ANY).with_title("B")], 10).unwrap();
        let shares = |list: List| {
            let pages = &plan.pages[list as usize];
            let mut pairs = pages.windows(2);
            std::array::from_fn(|_| {
                let pair = pairs.next().expect("four pairs");
                Arc::ptr_eq(&pair[0], &pair[1])
            })
        };
        assert_eq!(shares(List::Tools), [true, false, true, true]);
        assert_eq!(shares(List::Prompts), [true; 4]);
    }

    #[test]
    fn two_tools_of_one_name_are_refused_and_names_are_found_in_their_case() {
        let twice = vec![tool("a", ANY), tool("b", ANY), tool("a", ANY)];
        check(twice, "tool \"a\" is registered twice");
        let cases = vec![tool("a", ANY), tool("A", ANY)];
        check(
            cases,
            "tool \"A\" looks like \"a\": choose a name that differs more",
        );
        let plan = plan(vec![tool("a", ANY), tool("B", ANY)], 10).unwrap();
        let catalog = catalog_of(Arc::new(plan));
        for (name, is_there) in [("a", true), ("B", true), ("A", false), ("b", false)] {
            let found = catalog.tool(name).map(|tool| &*tool.parts.definition.name);
            assert_eq!(found, is_there.then_some(name));
        }
    }

    #[test]
    fn pages_list_tools_in_the_order_of_registration() {
        let names = ["c", "a", "b"];
        let tools = names.iter().map(|name| tool(name, ANY)).collect();
        let catalog = catalog_of(Arc::new(plan(tools, 2).unwrap()));
        let pages = catalog.pages(List::Tools, Revision::V2025_11_25);
        let page = |cursor: Option<&str>| -> serde_json::Value {
            let mut members = b"{".to_vec();
            pages.write(pages.find(cursor).unwrap(), &mut members);
            members.push(b'}');
            serde_json::from_slice(&members).unwrap()
        };
        let first = page(None);
        assert_eq!(first["tools"][0]["name"], "c");
        assert_eq!(first["tools"][1]["name"], "a");
        let last = page(first["nextCursor"].as_str());
        assert_eq!(last["tools"][0]["name"], "b");
        assert!(last.get("nextCursor").is_none());
    }

    #[test]
    fn shards_share_definitions_and_have_runners_of_their_own() {
        let plan = Arc::new(plan(vec![tool("a", ANY)], 10).unwrap());
        let (one, other) = (catalog_of(Arc::clone(&plan)), catalog_of(plan));
        let (one, other) = (one.tool("a").unwrap(), other.tool("a").unwrap());
        assert!(Arc::ptr_eq(&one.parts, &other.parts));
        assert!(!Rc::ptr_eq(&one.runner, &other.runner));
    }
}
