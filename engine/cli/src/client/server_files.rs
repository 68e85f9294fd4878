//! Servers by name: `@NAME` in a file of a desktop client, or in one with `[[upstream]]`.

use std::path::{Path, PathBuf};

use corelane_client::{Builder, Era, IntoTarget as _, Target};
use corelane_gateway::config::{self, Child, Era as FileEra, Target as Place, Upstream};
use corelane_gateway::desktop;

use super::failure::Failure;
use super::secret::secret;

/// The most bytes of a file of servers.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Finds a server in a file.
pub(super) fn find(name: &str, file: Option<&Path>) -> Result<Upstream, Failure> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => default_file()?,
    };
    let wrong = |reason: &dyn std::fmt::Display| {
        Failure::Configuration(format!("{}: {reason}", path.display()))
    };
    let text = crate::bounded_file::read(&path, FILE_BYTES_MAX).map_err(|error| {
        let remedy = match file {
            Some(_) => "",
            None => "; --config FILE names another file",
        };
        wrong(&format!("{error}{remedy}"))
    })?;
    let upstreams = match text.trim_start().starts_with('{') {
        true => desktop::parse(&text, |name| std::env::var(name).ok()).map_err(|it| wrong(&it))?,
        false => config::parse(&text).map_err(|it| wrong(&it))?,
    };
    let names: Vec<String> = upstreams.iter().map(|it| it.name.to_string()).collect();
    let found = upstreams.into_iter().find(|it| *it.name == *name);
    found.ok_or_else(|| {
        let names = names.join(", @");
        wrong(&format!("there is no server {name:?}, but @{names}"))
    })
}

fn default_file() -> Result<PathBuf, Failure> {
    Ok(settings_folder()?.join("servers.toml"))
}

/// The file with the credentials of servers.
pub(super) fn credentials() -> Result<PathBuf, Failure> {
    Ok(settings_folder()?.join("credentials.json"))
}

/// The folder of this user's settings.
fn settings_folder() -> Result<PathBuf, Failure> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".config"));
    let folder = folder.filter(|path| path.is_absolute()).or_else(home);
    let folder =
        folder.ok_or_else(|| Failure::Configuration("HOME is not set: set it".to_owned()))?;
    Ok(folder.join("corelane"))
}

/// The settings of a client for the era of an upstream.
pub(super) fn era(builder: Builder, upstream: &Upstream) -> Builder {
    match upstream.era {
        FileEra::Auto => builder,
        FileEra::Modern => builder.era(Era::Modern),
        FileEra::Legacy => builder.era(Era::Legacy),
    }
}

/// The first address of an upstream.
pub(super) fn target(upstream: &Upstream) -> Result<Target, Failure> {
    let place = upstream.targets.first();
    let target = match place {
        Some(Place::Http { url, is_sse: false }) => url.as_str().into_target(),
        Some(Place::Unix(path)) => format!("unix:{}", path.display()).into_target(),
        Some(Place::Tcp(host, port)) => format!("tcp:{host}:{port}").into_target(),
        Some(Place::Child(child)) => command(child)?.into_target(),
        Some(Place::Http { .. } | Place::HttpOverUnix(_)) | None => {
            let name = &upstream.name;
            return Err(Failure::Configuration(format!(
                "server {name:?} has a transport that client commands do not have: use HTTP, \
                 a program, TCP or a Unix socket"
            )));
        }
    };
    target.map_err(Failure::Client)
}

/// A program with the environment of its configuration, and nothing else in it.
fn command(child: &Child) -> Result<std::process::Command, Failure> {
    let program = child.command.first().map_or("", |program| program);
    let mut command = std::process::Command::new(program);
    command
        .args(child.command.iter().skip(1).map(|part| &**part))
        .env_clear();
    for name in &child.inherited {
        if let Some(value) = std::env::var_os(&**name) {
            command.env(&**name, value);
        }
    }
    for (name, value) in &child.environment {
        command.env(&**name, secret(value)?);
    }
    if let Some(directory) = &child.directory {
        command.current_dir(directory);
    }
    Ok(command)
}
