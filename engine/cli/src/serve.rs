//! `corelane serve`: arguments to a profile, and a server that runs.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use corelane::gateway::config::{self, Upstream};
use corelane::gateway::desktop;
use corelane::{DirectoryLimits, Error, Profile, Result, ServeArguments, Server, log};

use crate::demo::Demo;

/// The arguments of `corelane serve`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DemoArguments {
    #[command(flatten)]
    serve: ServeArguments,
    /// The catalog to serve [default: basic, or none in front of upstreams].
    #[arg(long, value_enum, value_name = "CATALOG")]
    demo: Option<Demo>,
    /// Serves the tools of the MCP servers of a desktop client's file with mcpServers or servers,
    /// as those of [[upstream]] in the file of --config.
    #[arg(long, value_name = "FILE")]
    mcp_servers: Option<PathBuf>,
    /// Serves the files of a directory as resources, as docs://=/srv/docs; repeatable.
    #[arg(long = "directory", value_name = "URI-PREFIX=PATH", value_parser = parse_directory)]
    directories: Vec<(String, PathBuf)>,
}

fn parse_directory(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((prefix, path)) if !prefix.is_empty() && !path.is_empty() => {
            match prefix.contains(':') {
                true => Ok((prefix.to_owned(), path.into())),
                false => Err(format!(
                    "URIs begin with a scheme, such as {prefix}://: write {prefix}://={path}"
                )),
            }
        }
        _ => Err("give URI-PREFIX=PATH, such as docs://=/srv/docs".to_owned()),
    }
}

/// The file of this process, also when another one has its name meanwhile: see proc(5).
const THIS: &str = "/proc/self/exe";

/// Runs the command.
///
/// # Errors
/// Everything that keeps the server from starting, and the failure of a shard.
pub(crate) fn run(arguments: DemoArguments) -> Result<()> {
    let profile = arguments.serve.clone().into_profile()?;
    log::start(&profile.log).map_err(Error::Log)?;
    let upstreams = match &arguments.mcp_servers {
        Some(path) => desktop_upstreams(path)?,
        None => Vec::new(),
    };
    let is_gateway = !upstreams.is_empty() || has_upstreams(&profile);
    let mut server = match (arguments.demo, is_gateway) {
        (Some(demo), _) => demo.server(),
        (None, true) => Server::new("corelane", env!("CARGO_PKG_VERSION")),
        (None, false) => Demo::default().server(),
    };
    server = server.with_upstreams(upstreams)?.with_launcher(THIS);
    for (prefix, path) in arguments.directories {
        let name = path.file_name().map_or_else(
            || prefix.clone(),
            |name| name.to_string_lossy().into_owned(),
        );
        let limits = DirectoryLimits {
            file_bytes_max: profile.catalog.file_bytes_max,
            ..DirectoryLimits::default()
        };
        server = server.with_directory(prefix, &name, &path, limits)?;
    }
    if arguments.serve.profile.is_some() {
        let serve = arguments.serve;
        server = server.with_profile_source(move || serve.clone().into_profile());
    }
    server.run(profile)
}

/// The upstreams of a file of a desktop client.
pub(crate) fn desktop_upstreams(path: &Path) -> Result<Vec<Upstream>> {
    let fault = |fault: String| Error::Access(format!("{}: {fault}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    desktop::parse(&text, |name| std::env::var(name).ok()).map_err(|error| fault(error.to_string()))
}

/// Whether the file of access control has upstreams. Its faults are found when the server starts.
fn has_upstreams(profile: &Profile) -> bool {
    let text = profile.server.access_file.as_ref();
    let text = text.and_then(|path| fs::read_to_string(path).ok());
    let upstreams = text.and_then(|text| config::parse(&text).ok());
    upstreams.is_some_and(|upstreams| !upstreams.is_empty())
}
