//! The files of a directory as resources.
//!
//! Each file that exists when the server starts is in the list; new and removed files change the
//! list, and a changed file is reported. A file with a fitting name is served whether it is listed
//! or not, and never a file outside the directory: [`files`](crate::files) makes sure of that.

use std::path::Path;
use std::time::UNIX_EPOCH;

use corelane_protocol::mcp::about::Annotations;
use corelane_protocol::uri_template::UriTemplate;

use super::error::{Error, Result};
use super::handle::ServerHandle;
use crate::catalog::CatalogError;
use crate::catalog::resource::{Resource, ResourceDefect, ResourceTemplate};
use crate::files::{
    Change, Directory, DirectoryLimits, Entry, FilesError, Watch, is_text, mime_of_name, mime_type,
};
use crate::handler::{Call, CallError, ReadRequest};
use crate::mcp::rfc3339;
use crate::{ResourceContents, ResourcePart};

/// The type of a file whose name does not show it.
const ANY_TYPE: &str = "application/octet-stream";
/// The variable of the template.
const PATH: &str = "path";

/// A directory whose files are resources. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ServedDirectory {
    directory: Directory,
    prefix: String,
    /// The prefix and then the path.
    template: UriTemplate,
}

impl ServedDirectory {
    pub(super) fn open(prefix: String, path: &Path, limits: DirectoryLimits) -> Result<Self> {
        let template = UriTemplate::parse(&template_text(&prefix)).map_err(|error| {
            Error::Catalog(CatalogError::Resource {
                uri: prefix.clone(),
                reason: ResourceDefect::Template(error),
            })
        })?;
        Ok(ServedDirectory {
            directory: Directory::open(path, limits)?,
            prefix,
            template,
        })
    }

    /// The template that every file of the directory fits.
    pub(super) fn template(&self, name: &str) -> ResourceTemplate {
        let served = self.clone();
        ResourceTemplate::new(
            template_text(&self.prefix),
            name,
            ANY_TYPE,
            async move |call: &Call, request: ReadRequest| {
                let relative = request.variable(PATH).unwrap_or_default().to_owned();
                served.read(call, request.uri(), &relative).await
            },
        )
    }

    /// The files that are there now.
    pub(super) fn resources(&self) -> std::result::Result<Vec<Resource>, FilesError> {
        let listing = self.directory.list_blocking()?;
        if !listing.is_complete {
            let prefix = &self.prefix;
            tracing::warn!(prefix, "the directory has more files than are listed");
        }
        Ok(listing.entries.iter().map(|it| self.resource(it)).collect())
    }

    fn resource(&self, entry: &Entry) -> Resource {
        let (served, relative) = (self.clone(), entry.relative.clone());
        let mime_type = mime_of_name(&relative).unwrap_or(ANY_TYPE);
        let modified = entry.modified.duration_since(UNIX_EPOCH).ok();
        let read = async move |call: &Call, request: ReadRequest| {
            served.read(call, request.uri(), &relative).await
        };
        Resource::new(self.uri(&entry.relative), &entry.relative, mime_type, read)
            .size_bytes(entry.size_bytes)
            .annotations(Annotations {
                last_modified: modified.map(|since| rfc3339(since.as_millis() as u64).to_string()),
                ..Annotations::default()
            })
    }

    fn uri(&self, relative: &str) -> String {
        self.template.expand(&[(PATH, relative)])
    }

    async fn read(
        &self,
        call: &Call,
        uri: &str,
        relative: &str,
    ) -> std::result::Result<Vec<ResourcePart>, CallError> {
        let content = match self.directory.read(call, relative).await {
            Ok(content) => content,
            Err(FilesError::NotFound | FilesError::NotAFile) => {
                return Err(CallError::no_such_resource());
            }
            Err(error) => return Err(error.into()),
        };
        let mime_type = mime_type(relative, &content).into();
        let contents = match is_text(&content) {
            true => ResourceContents::Text(String::from_utf8_lossy(&content).into_owned().into()),
            false => ResourceContents::bytes(&content),
        };
        Ok(vec![ResourcePart {
            uri: uri.to_owned(),
            mime_type: Some(mime_type),
            contents,
        }])
    }

    /// Reports changes until the watch is dropped.
    pub(super) fn watch(self, handle: ServerHandle) -> std::result::Result<Watch, FilesError> {
        let directory = self.directory.clone();
        Watch::start(&directory, move |change| self.changed(&handle, &change))
    }

    fn changed(&self, handle: &ServerHandle, change: &Change) {
        let reported = match change {
            Change::Modified(relative) => handle.resource_updated(&self.uri(relative)),
            Change::Listed | Change::Everything => match self.resources() {
                Ok(resources) => {
                    if *change == Change::Everything {
                        // As many as can be reported; the change of the list covers the others.
                        let uris = resources.iter().map(Resource::uri);
                        let mut reported = uris.map(|uri| handle.resource_updated(uri));
                        let _ = reported.find(std::result::Result::is_err);
                    }
                    handle.replace_resources(&self.prefix, resources)
                }
                Err(error) => {
                    let prefix = &self.prefix;
                    return tracing::error!(prefix, %error, "the directory cannot be listed");
                }
            },
        };
        if let Err(error) = reported {
            let prefix = &self.prefix;
            tracing::warn!(prefix, %error, "a change of the directory was not reported");
        }
    }
}

fn template_text(prefix: &str) -> String {
    format!("{prefix}{{+{PATH}}}")
}
