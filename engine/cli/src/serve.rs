//! `corelane serve`: arguments to a profile, and a server that runs.

use std::path::PathBuf;

use clap::Args;
use corelane::{DirectoryLimits, Error, Result, ServeArguments, log};

use crate::demo::Demo;

/// The arguments of `corelane serve`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DemoArguments {
    #[command(flatten)]
    serve: ServeArguments,
    /// The catalog to serve.
    #[arg(long, value_enum, default_value_t, value_name = "CATALOG")]
    demo: Demo,
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

/// Runs the command.
///
/// # Errors
/// Everything that keeps the server from starting, and the failure of a shard.
pub(crate) fn run(arguments: DemoArguments) -> Result<()> {
    let profile = arguments.serve.into_profile()?;
    log::start(&profile.log).map_err(Error::Log)?;
    let mut server = arguments.demo.server();
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
    server.run(profile)
}
