//! Resources and families of them: their definitions and their handlers.

use std::sync::Arc;

use corelane_protocol::mcp::about::{Annotations, Icon};
use corelane_protocol::mcp::resources::{ResourceDefinition, TemplateDefinition, URI_BYTES_MAX};
use corelane_protocol::uri_template::{UriTemplate, UriTemplateError};
use serde_json::value::RawValue;

use super::completer::{Completer, Completers};
use crate::handler::runner::{self, ReadRunner, Source};
use crate::handler::{Call, CallError, CompleteRequest, IntoContents, ReadRequest, Suggestions};
use crate::upstream::entry::RelayedEntry;

/// A resource to be offered by a [`Server`](crate::Server).
pub struct Resource {
    definition: ResourceDefinition,
    source: Source<ReadRunner>,
    relayed: Option<Arc<RelayedEntry>>,
}

/// A family of resources whose URIs follow a template (RFC 6570, levels 1 to 3).
pub struct ResourceTemplate {
    definition: TemplateDefinition,
    source: Source<ReadRunner>,
    completers: Vec<Completer>,
    relayed: Option<Arc<RelayedEntry>>,
}

/// Why a resource or a template is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ResourceDefect {
    /// The URI has no scheme, or too many bytes.
    #[error("a resource has an absolute URI of at most {URI_BYTES_MAX} bytes, such as docs://a")]
    Uri,
    /// The template cannot be used.
    #[error("its template {0}")]
    Template(#[from] UriTemplateError),
    /// A completer for a variable that the template does not have.
    #[error("its template has no variable {0:?} to complete")]
    NoVariable(String),
}

/// Setters that resources and templates have in common.
macro_rules! about {
    ($type:ty) => {
        impl $type {
            /// Sets the name for people.
            #[must_use]
            pub fn with_title(mut self, title: impl Into<String>) -> Self {
                self.definition.about.title = Some(title.into());
                self
            }

            /// Sets the description, for people and for the model.
            #[must_use]
            pub fn with_description(mut self, description: impl Into<String>) -> Self {
                self.definition.about.description = Some(description.into());
                self
            }

            /// Adds a picture.
            #[must_use]
            pub fn with_icon(mut self, icon: Icon) -> Self {
                self.definition.about.icons.push(icon);
                self
            }

            /// Sets `_meta`, which is passed on as it is.
            #[must_use]
            pub fn with_meta(mut self, meta: Box<RawValue>) -> Self {
                self.definition.about.meta = Some(meta);
                self
            }

            /// Sets the intended audience and the priority.
            #[must_use]
            pub fn with_annotations(mut self, annotations: Annotations) -> Self {
                self.definition.annotations = annotations;
                self
            }
        }
    };
}
about!(Resource);
about!(ResourceTemplate);

impl Resource {
    /// A resource with contents from `function`, called at each read.
    pub fn new<F, R>(
        uri: impl Into<String>,
        name: impl Into<String>,
        mime_type: impl Into<String>,
        function: F,
    ) -> Resource
    where
        F: AsyncFn(&Call, ReadRequest) -> Result<R, CallError> + Send + Sync + 'static,
        R: IntoContents + 'static,
    {
        let (uri, mime_type) = (uri.into(), mime_type.into());
        let log_name = format!("resource {uri}");
        Resource {
            definition: ResourceDefinition {
                uri,
                name: name.into(),
                mime_type: Some(mime_type.clone()),
                ..ResourceDefinition::default()
            },
            source: runner::of_read(&log_name, function, Some(mime_type)),
            relayed: None,
        }
    }

    /// A resource of an upstream: its definition goes to clients as it was listed.
    pub(super) fn relayed(uri: String, entry: RelayedEntry) -> Resource {
        let run = async |_: &Call, _: ReadRequest| Ok("");
        Resource {
            relayed: Some(Arc::new(entry)),
            ..Resource::new(uri, "", "", run)
        }
    }

    /// A resource whose contents never change: text, or bytes.
    pub fn fixed(
        uri: impl Into<String>,
        name: impl Into<String>,
        mime_type: impl Into<String>,
        contents: impl IntoContents + Clone + Send + Sync + 'static,
    ) -> Resource {
        Resource::new(
            uri,
            name,
            mime_type,
            async move |_: &Call, _: ReadRequest| Ok(contents.clone()),
        )
    }

    /// Sets the number of bytes of the raw contents.
    #[must_use]
    pub fn with_size_bytes(mut self, size_bytes: u64) -> Resource {
        self.definition.size_bytes = Some(size_bytes);
        self
    }

    pub(crate) fn uri(&self) -> &str {
        &self.definition.uri
    }

    pub(crate) fn into_parts(self) -> Result<ResourceParts, ResourceDefect> {
        let uri = &self.definition.uri;
        if uri.len() > URI_BYTES_MAX || !has_scheme(uri) {
            return Err(ResourceDefect::Uri);
        }
        Ok(ResourceParts {
            definition: self.definition,
            source: self.source,
            relayed: self.relayed,
        })
    }
}

impl ResourceTemplate {
    /// A family of resources with contents from `function`, called at each read.
    ///
    /// If a URI fits several templates, the one registered first is used.
    pub fn new<F, R>(
        uri_template: impl Into<String>,
        name: impl Into<String>,
        mime_type: impl Into<String>,
        function: F,
    ) -> ResourceTemplate
    where
        F: AsyncFn(&Call, ReadRequest) -> Result<R, CallError> + Send + Sync + 'static,
        R: IntoContents + 'static,
    {
        let (uri_template, mime_type) = (uri_template.into(), mime_type.into());
        let log_name = format!("resource {uri_template}");
        ResourceTemplate {
            definition: TemplateDefinition {
                uri_template,
                name: name.into(),
                mime_type: Some(mime_type.clone()),
                ..TemplateDefinition::default()
            },
            source: runner::of_read(&log_name, function, Some(mime_type)),
            completers: Vec::new(),
            relayed: None,
        }
    }

    /// A template of an upstream: its definition goes to clients as it was listed.
    pub(super) fn relayed(uri_template: String, entry: RelayedEntry) -> ResourceTemplate {
        let run = async |_: &Call, _: ReadRequest| Ok("");
        ResourceTemplate {
            relayed: Some(Arc::new(entry)),
            ..ResourceTemplate::new(uri_template, "", "", run)
        }
    }

    /// Suggests values for a variable.
    #[must_use]
    pub fn with_completer<F, R>(
        mut self,
        variable: impl Into<String>,
        function: F,
    ) -> ResourceTemplate
    where
        F: AsyncFn(&Call, CompleteRequest) -> Result<R, CallError> + Send + Sync + 'static,
        R: Into<Suggestions> + 'static,
    {
        self.completers
            .push(Completer::new(variable.into(), function));
        self
    }

    pub(crate) fn uri_template(&self) -> &str {
        &self.definition.uri_template
    }

    pub(crate) fn into_parts(self) -> Result<TemplateParts, ResourceDefect> {
        let template = UriTemplate::parse(&self.definition.uri_template)?;
        if !has_scheme(&self.definition.uri_template) {
            return Err(ResourceDefect::Uri);
        }
        for completer in &self.completers {
            if !template
                .variables()
                .any(|variable| variable == completer.argument)
            {
                return Err(ResourceDefect::NoVariable(completer.argument.clone()));
            }
        }
        Ok(TemplateParts {
            definition: self.definition,
            template,
            source: self.source,
            completers: Arc::new(self.completers),
            relayed: self.relayed,
        })
    }
}

/// Whether `uri` starts with a scheme (RFC 3986 3.1).
pub(crate) fn has_scheme(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else {
        return false;
    };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// A checked resource.
pub(crate) struct ResourceParts {
    pub(crate) definition: ResourceDefinition,
    pub(crate) source: Source<ReadRunner>,
    /// Its upstream, if it has one: that handles reads.
    pub(crate) relayed: Option<Arc<RelayedEntry>>,
}

/// A checked template.
pub(crate) struct TemplateParts {
    pub(crate) definition: TemplateDefinition,
    pub(crate) template: UriTemplate,
    pub(crate) source: Source<ReadRunner>,
    pub(crate) completers: Completers,
    /// Its upstream, if it has one: that handles reads and completion.
    pub(crate) relayed: Option<Arc<RelayedEntry>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_needs_a_scheme() {
        for (uri, is_absolute) in [
            ("docs://a", true),
            ("a+b-1.c:x", true),
            ("/a", false),
            ("a", false),
            ("1a:b", false),
            (":b", false),
            ("a b:c", false),
        ] {
            assert_eq!(has_scheme(uri), is_absolute, "{uri}");
        }
    }
}
