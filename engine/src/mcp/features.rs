//! Resources, prompts and completion: parameters in, handlers started.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use corelane_gateway::relay::Replaced;
use corelane_protocol::jsonrpc::{Object, Value};
use corelane_protocol::mcp::completion::{CompletionParams, CompletionTarget};
use corelane_protocol::mcp::prompts::PromptParams;
use corelane_protocol::mcp::resources;

use super::context::invalid_params;
use super::disposition::Disposition;
use super::handler_kind::HandlerKind;
use super::permissions::{Denied, Use};
use super::start::{HandlerRequest, Starter};
use crate::catalog::completer::ShardCompleters;
use crate::catalog::prompt::PromptParts;
use crate::catalog::{Catalog, ShardPrompt, ShardTemplate};
use crate::handler::outcome::Answer;
use crate::handler::runner::ReadRunner;
use crate::handler::{CompleteRequest, ReadRequest, Suggestions};
use crate::upstream::entry::{RelayedEntry, Route};

impl Starter<'_> {
    /// Runs the handler of a request.
    pub(super) fn start(&mut self, request: HandlerRequest<'_>, out: &mut Vec<u8>) -> Disposition {
        match request.kind {
            HandlerKind::Tool => self.call_tool(request, out),
            HandlerKind::Prompt => self.get_prompt(request, out),
            HandlerKind::Resource => self.read_resource(request, out),
            HandlerKind::Completion => self.complete(request, out),
            HandlerKind::Task => unreachable!("requests about tasks begin elsewhere"),
        }
    }

    /// `resources/read`: a resource of this very URI, or the first template that it fits.
    fn read_resource(&mut self, request: HandlerRequest<'_>, out: &mut Vec<u8>) -> Disposition {
        let (era, id) = (request.era, request.id);
        let uri = match resources::read_uri(request.params) {
            Ok(uri) => uri,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let found = find_resource(self.catalog, uri);
        let permitted = self.permit(&request, Use::Resource(uri));
        let found = match (found, permitted) {
            (Some(found), Ok(())) => found,
            (None, _) | (_, Err(Denied::Hidden)) => {
                resources::write_not_found(out, era, id, uri);
                return Disposition::ok();
            }
            (_, Err(denied)) => return self.permissions.refuse(denied, id, out),
        };
        if let Err(refused) = self.limit(&request, None, out) {
            return refused;
        }
        match found {
            Found::Here(runner, read) => self.run(request, |call| runner.start(call, read), out),
            Found::Upstream(upstream) => {
                let port = self.calls.port();
                let original = match port {
                    Some(port) => port.original_uri(upstream, uri),
                    None => Some(Cow::Borrowed(uri)),
                };
                let Some(original) = original else {
                    resources::write_not_found(out, era, id, uri);
                    return Disposition::ok();
                };
                let route = Route::to(upstream, Replaced::Uri(&original));
                self.relay(request, &route, out)
            }
        }
    }

    /// `prompts/get`.
    fn get_prompt(&mut self, request: HandlerRequest<'_>, out: &mut Vec<u8>) -> Disposition {
        let id = request.id;
        let params = match PromptParams::read(request.params) {
            Ok(params) => params,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let Some((place, prompt)) = self.catalog.find_prompt(params.name) else {
            return self.context.unknown(id, "prompt", params.name, out);
        };
        self.context.meter.name_operation(prompt.number);
        match self.permit(&request, Use::Prompt(place)) {
            Ok(()) => {}
            Err(Denied::Hidden) => return self.context.unknown(id, "prompt", params.name, out),
            Err(denied) => return self.permissions.refuse(denied, id, out),
        }
        if let Err(refused) = self.limit(&request, None, out) {
            return refused;
        }
        if let Some(relayed) = &prompt.parts.relayed {
            let route = Route::to(relayed.upstream, Replaced::Name(&relayed.original));
            return self.relay(request, &route, out);
        }
        let given = params.arguments.unwrap_or(Value::EMPTY_OBJECT);
        let checked = request
            .inbound
            .check_arguments(&prompt.parts, given, PromptParts::check);
        let arguments = match checked {
            Ok(arguments) => arguments,
            Err(text) => return invalid_params(id, &text, out),
        };
        let runner = Rc::clone(&prompt.runner);
        self.run(request, |call| runner.start(call, arguments), out)
    }

    /// `completion/complete`.
    fn complete(&mut self, request: HandlerRequest<'_>, out: &mut Vec<u8>) -> Disposition {
        let (era, id) = (request.era, request.id);
        let params = match CompletionParams::read(request.params) {
            Ok(params) => params,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let found: Option<(Use<'_>, Completes<'_>)> = match params.target {
            CompletionTarget::Prompt(name) => {
                let found = self.catalog.find_prompt(name);
                found.map(|(place, it)| (Use::Prompt(place), Completes::of_prompt(it)))
            }
            CompletionTarget::Template(text) => {
                let mut templates = self.catalog.templates().iter().enumerate();
                let found = templates.find(|(_, it)| it.parts.definition.uri_template == text);
                found.map(|(place, it)| (Use::Template(place), Completes::of_template(it)))
            }
        };
        let completes = match found.map(|(entry, it)| (self.permit(&request, entry), it)) {
            Some((Ok(()), completes)) => completes,
            None | Some((Err(Denied::Hidden), _)) => {
                let (CompletionTarget::Prompt(name) | CompletionTarget::Template(name)) =
                    params.target;
                return self.context.unknown(id, "prompt or template", name, out);
            }
            Some((Err(denied), _)) => return self.permissions.refuse(denied, id, out),
        };
        let runner = match completes {
            Completes::Here(completers) => completers.of(params.argument),
            Completes::Upstream(entry, replaced) if entry.has_completions => {
                return self.relay(request, &Route::to(entry.upstream, replaced), out);
            }
            Completes::Upstream(..) => None,
        };
        let Some(runner) = runner else {
            // The argument has no completer: there are no suggestions.
            let nothing = Answer::Completion(Suggestions::default().0);
            self.context
                .write_outcome(out, (era, id), HandlerKind::Completion, Ok(nothing));
            return Disposition::ok();
        };
        let filled_in = params.context.map(owned_strings).unwrap_or_default();
        let input = CompleteRequest::new(params.value.to_owned(), filled_in);
        self.run(request, |call| runner.start(call, input), out)
    }
}

/// The reader of a resource.
enum Found {
    /// A handler.
    Here(Rc<ReadRunner>, ReadRequest),
    /// The upstream with this number.
    Upstream(u16),
}

fn find_resource(catalog: &Catalog, uri: &str) -> Option<Found> {
    let found =
        |relayed: &Option<Arc<RelayedEntry>>, runner: &Rc<ReadRunner>, variables| match relayed {
            Some(entry) => Found::Upstream(entry.upstream),
            None => Found::Here(
                Rc::clone(runner),
                ReadRequest::new(uri.to_owned(), variables),
            ),
        };
    if let Some(resource) = catalog.resource(uri) {
        return Some(found(&resource.parts.relayed, &resource.runner, Vec::new()));
    }
    let of_template = catalog.templates().iter().find_map(|template| {
        let values = template.parts.template.matches(uri)?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let variables = values.iter().map(owned).collect();
        Some(found(&template.parts.relayed, &template.runner, variables))
    });
    of_template.or_else(|| catalog.plan().upstream_of(uri).map(Found::Upstream))
}

/// The source of suggestions for the arguments of an entry.
enum Completes<'a> {
    /// Handlers.
    Here(&'a ShardCompleters),
    /// The upstream of the entry, which has this reference to it.
    Upstream(&'a RelayedEntry, Replaced<'a>),
}

impl Completes<'_> {
    fn of_prompt(prompt: &ShardPrompt) -> Completes<'_> {
        match &prompt.parts.relayed {
            Some(entry) => Completes::Upstream(entry, Replaced::PromptRef(&entry.original)),
            None => Completes::Here(&prompt.completers),
        }
    }

    fn of_template(template: &ShardTemplate) -> Completes<'_> {
        match &template.parts.relayed {
            Some(entry) => Completes::Upstream(entry, Replaced::TemplateRef(&entry.original)),
            None => Completes::Here(&template.completers),
        }
    }
}

/// The members of an object of strings.
fn owned_strings(object: Object<'_>) -> Vec<(String, String)> {
    let text =
        |(name, value): (&str, Value<'_>)| Some((name.to_owned(), value.as_str()?.to_owned()));
    object.iter().filter_map(text).collect()
}
