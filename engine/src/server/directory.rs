//! The files of a directory as resources.
//!
//! Each file that exists when the server starts is in the list; new and removed files change the
//! list, and a changed file is reported. A file with a fitting name is served whether it is listed
//! or not, and never a file outside the directory: [`files`](crate::files) makes sure of that.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use corelane_protocol::mcp::about::Annotations;
use corelane_protocol::uri_template::{UriTemplate, encode_path};

use super::error::{Error, Result};
use super::handle::ServerHandle;
use crate::catalog::CatalogError;
use crate::catalog::pending_updates::ChangeError;
use crate::catalog::resource::{Resource, ResourceDefect, ResourceTemplate, has_scheme};
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
    /// The operator's name for it.
    path: PathBuf,
    prefix: String,
    /// The prefix and then the path.
    template: UriTemplate,
}

impl ServedDirectory {
    pub(super) fn open(prefix: String, path: &Path, limits: DirectoryLimits) -> Result<Self> {
        let defect = |reason| {
            let uri = prefix.clone();
            Error::Catalog(CatalogError::Resource { uri, reason })
        };
        if !has_scheme(&prefix) {
            return Err(defect(ResourceDefect::Uri));
        }
        let template = UriTemplate::parse(&template_text(&prefix));
        let template = template.map_err(|error| defect(ResourceDefect::Template(error)))?;
        let directory = Directory::open(path, limits);
        Ok(ServedDirectory {
            directory: directory.map_err(|error| cannot_serve(path, error))?,
            path: path.to_owned(),
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

    /// The files that are there when the server starts.
    ///
    /// # Errors
    /// [`Error::Directory`] when they cannot be listed.
    pub(super) fn first_resources(&self) -> Result<Vec<Resource>> {
        let resources = self.resources();
        resources.map_err(|error| cannot_serve(&self.path, error))
    }

    /// Refuses to share the URIs of this directory with another directory, or with a resource: a
    /// new listing of one would replace the entries of the other.
    pub(super) fn check_apart(
        &self,
        directories: &[ServedDirectory],
        resources: &[Resource],
    ) -> Result<()> {
        let uris = resources.iter().map(Resource::uri);
        let below = uris.filter(|uri| uri.starts_with(&self.prefix));
        let prefixes = directories.iter().map(|it| it.prefix.as_str());
        let overlaps = |it: &&str| it.starts_with(&self.prefix) || self.prefix.starts_with(*it);
        match prefixes.filter(overlaps).chain(below).next() {
            None => Ok(()),
            Some(other) => Err(Error::DirectoryOverlaps {
                prefix: self.prefix.clone(),
                other: other.to_owned(),
            }),
        }
    }

    /// The files that are there now.
    fn resources(&self) -> std::result::Result<Vec<Resource>, FilesError> {
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
            .with_size_bytes(entry.size_bytes)
            .with_annotations(Annotations {
                last_modified: modified.map(|since| rfc3339(since.as_millis() as u64).to_string()),
                ..Annotations::default()
            })
    }

    fn uri(&self, relative: &str) -> String {
        // Encoded characters stay as they are.
        self.template.expand(&[(PATH, &encode_path(relative))])
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
            Err(FilesError::TooLarge { limit_bytes }) => {
                return Err(CallError::internal(format!(
                    "the file has more than {limit_bytes} bytes (catalog.file_bytes_max)"
                )));
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
            Change::Modified(names) => self.modified(handle, names),
            Change::Listed => self.listed(handle, false),
            Change::Everything => self.listed(handle, true),
        };
        if let Err(error) = reported {
            let prefix = &self.prefix;
            tracing::warn!(prefix, %error, "a change of the directory was not reported");
        }
    }

    /// Updates the list for modified files, and notifies clients of the files. The change of the
    /// list is not broadcast: a log that is written to would make every client fetch the list again
    /// and again.
    fn modified(
        &self,
        handle: &ServerHandle,
        names: &[String],
    ) -> std::result::Result<(), ChangeError> {
        let entries = names.iter().filter_map(|it| self.directory.entry(it));
        let resources = entries.map(|entry| self.resource(&entry)).collect();
        let refreshed = handle.refresh_resources(resources);
        let mut uris = names.iter().map(|name| self.uri(name));
        let reported = uris.try_for_each(|uri| handle.resource_updated(&uri));
        refreshed.and(reported)
    }

    /// Lists the files anew; `is_everything` if any of them may have been modified as well.
    fn listed(
        &self,
        handle: &ServerHandle,
        is_everything: bool,
    ) -> std::result::Result<(), ChangeError> {
        let resources = match self.resources() {
            Ok(resources) => resources,
            Err(error) => {
                let prefix = &self.prefix;
                tracing::error!(prefix, %error, "the directory cannot be listed");
                return Ok(());
            }
        };
        if is_everything {
            // As many as can be reported; the change of the list covers the others.
            let uris = resources.iter().map(Resource::uri);
            let mut reported = uris.map(|uri| handle.resource_updated(uri));
            let _ = reported.find(std::result::Result::is_err);
        }
        handle.replace_resources(&self.prefix, resources)
    }
}

fn cannot_serve(path: &Path, error: FilesError) -> Error {
    let path = path.to_owned();
    Error::Directory { path, error }
}

fn template_text(prefix: &str) -> String {
    format!("{prefix}{{+{PATH}}}")
}

#[cfg(test)]
mod tests {
    use crate::catalog::resource::Resource;
    use crate::handler::ReadRequest;
    use crate::{Call, DirectoryLimits, Error, Profile, Server};

    #[test]
    fn a_resource_below_the_prefix_of_a_directory_is_refused_whichever_comes_first() {
        let root = tempfile::tempdir().expect("a directory can be made");
        let limits = DirectoryLimits::default;
        let read = async |_: &Call, _: ReadRequest| Ok("text");
        let resource = |uri: &str| Resource::new(uri, "name", "text/plain", read);
        let start = || Server::new("name", "1");
        let serve = |server: Server| server.with_directory("x://", "files", root.path(), limits());
        for (uri, expected) in [("x://a", Some("x://a")), ("y://a", None)] {
            for server in [
                serve(start().with_resource(resource(uri))),
                serve(start()).map(|server| server.with_resource(resource(uri))),
            ] {
                let parts = server.and_then(|server| server.into_parts(&Profile::default()));
                let refused = match parts {
                    Err(Error::DirectoryOverlaps { prefix, other }) => Some((prefix, other)),
                    Err(error) => panic!("{error}"),
                    Ok(_) => None,
                };
                let expected = expected.map(|uri| ("x://".to_owned(), uri.to_owned()));
                assert_eq!(refused, expected);
            }
        }
    }
}
