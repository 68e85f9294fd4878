//! Resources, prompts and completion: parameters in, handlers started.

use std::rc::Rc;

use corelane_protocol::jsonrpc::{Object, Value};
use corelane_protocol::mcp::completion::{CompletionParams, CompletionTarget};
use corelane_protocol::mcp::prompts::PromptParams;
use corelane_protocol::mcp::resources;

use super::context::invalid_params;
use super::disposition::Disposition;
use super::handler_kind::HandlerKind;
use super::permissions::{Denied, Use};
use super::start::{HandlerRequest, Starter};
use crate::catalog::Catalog;
use crate::catalog::completer::ShardCompleters;
use crate::catalog::prompt::PromptParts;
use crate::handler::outcome::Answer;
use crate::handler::runner::{CompleteRunner, ReadRunner};
use crate::handler::{CompleteRequest, ReadRequest, Suggestions};

impl Starter<'_> {
    /// Runs the handler of a request.
    pub(super) fn start(&mut self, request: HandlerRequest<'_>, out: &mut Vec<u8>) -> Disposition {
        match request.kind {
            HandlerKind::Tool => self.call_tool(request, out),
            HandlerKind::Prompt => self.get_prompt(request, out),
            HandlerKind::Resource => self.read_resource(request, out),
            HandlerKind::Completion => self.complete(request, out),
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
        let (runner, read) = match (found, permitted) {
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
        self.run(request, |call| runner.start(call, read), out)
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
        let found: Option<(Use<'_>, &ShardCompleters)> = match params.target {
            CompletionTarget::Prompt(name) => {
                let found = self.catalog.find_prompt(name);
                found.map(|(place, it)| (Use::Prompt(place), &it.completers))
            }
            CompletionTarget::Template(text) => {
                let mut templates = self.catalog.templates().iter().enumerate();
                let found = templates.find(|(_, it)| it.parts.definition.uri_template == text);
                found.map(|(place, it)| (Use::Template(place), &it.completers))
            }
        };
        let completers = match found.map(|(entry, it)| (self.permit(&request, entry), it)) {
            Some((Ok(()), completers)) => Some(completers),
            None | Some((Err(Denied::Hidden), _)) => None,
            Some((Err(denied), _)) => return self.permissions.refuse(denied, id, out),
        };
        let Some(completers) = completers else {
            let (CompletionTarget::Prompt(name) | CompletionTarget::Template(name)) = params.target;
            return self.context.unknown(id, "prompt or template", name, out);
        };
        let Some(runner): Option<Rc<CompleteRunner>> = completers.of(params.argument) else {
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

fn find_resource(catalog: &Catalog, uri: &str) -> Option<(Rc<ReadRunner>, ReadRequest)> {
    if let Some(resource) = catalog.resource(uri) {
        let request = ReadRequest::new(uri.to_owned(), Vec::new());
        return Some((Rc::clone(&resource.runner), request));
    }
    catalog.templates().iter().find_map(|template| {
        let values = template.parts.template.matches(uri)?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let variables = values.iter().map(owned).collect();
        let request = ReadRequest::new(uri.to_owned(), variables);
        Some((Rc::clone(&template.runner), request))
    })
}

/// The members of an object of strings.
fn owned_strings(object: Object<'_>) -> Vec<(String, String)> {
    let text =
        |(name, value): (&str, Value<'_>)| Some((name.to_owned(), value.as_str()?.to_owned()));
    object.iter().filter_map(text).collect()
}
