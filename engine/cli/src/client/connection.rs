//! The arguments of every client command, and the connection that they describe.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use corelane_client::Traffic;
use corelane_client::{Builder, Client, Era, Error, Interactive, IntoTarget as _, Target};
use corelane_gateway::config::Value;

use super::answers::AnswerArguments;
use super::failure::{Failure, print_error};
use super::secret::secret;
use super::server_files;

/// Fields whose values are credentials.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
/// The shortest secret that is replaced in the messages of `--trace`.
const SECRET_BYTES_MIN: usize = 4;

/// The arguments of every client command.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionArguments {
    /// A header field of each HTTP request; repeatable. A value can come from a file or a variable:
    /// 'X-Api-Key: file:PATH' or 'X-Api-Key: env:NAME'.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The access token: file:PATH or env:NAME. Other users can see arguments, so it is none.
    #[arg(long, value_name = "file:PATH|env:NAME", value_parser = bearer)]
    bearer: Option<String>,
    /// The era of the protocol to speak.
    #[arg(long, value_enum, default_value_t = EraArgument::Auto)]
    era: EraArgument,
    /// How long a request may be silent; progress starts it anew [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// How long a request may take in all [default: 5m].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_timeout: Option<Duration>,
    /// The file with the server @NAME: one with mcpServers, or one with [[upstream]] [default:
    /// ~/.config/corelane/servers.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print each message on standard error as it is on the wire, with credentials as ***.
    #[arg(long)]
    trace: bool,
    /// Print JSON, errors too.
    #[arg(long, conflicts_with = "raw")]
    pub(crate) json: bool,
    /// Print the results as the server wrote them.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// The era of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EraArgument {
    /// The modern one if the server has it.
    Auto,
    /// 2026-07-28, without sessions.
    Modern,
    /// Up to 2025-11-25, with sessions.
    Legacy,
}

fn header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(':');
    let (name, value) = parts.ok_or("give NAME: VALUE, such as 'X-Api-Key: env:API_KEY'")?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let is_plain = matches!(Value::parse(value), Value::Plain(_));
    if CREDENTIALS.contains(&&*name) && is_plain {
        let fault = "other users can see arguments: give the value as file:PATH or env:NAME";
        return Err(fault.to_owned());
    }
    Ok((name, value.to_owned()))
}

fn bearer(text: &str) -> Result<String, String> {
    match Value::parse(text) {
        Value::Plain(_) => {
            Err("other users can see arguments: give file:PATH or env:NAME".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

impl ConnectionArguments {
    /// Opens the connection.
    pub(crate) async fn connect(
        &self,
        target: &str,
        answers: Option<&AnswerArguments>,
        login: Option<Interactive>,
    ) -> Result<Client, Failure> {
        let (target, mut builder, mut secrets) = self.place(target)?;
        match login {
            Some(login) => builder = builder.auth(login),
            None if self.bearer.is_none() => {
                let file = server_files::credentials()
                    .ok()
                    .filter(|file| file.exists());
                if let Some(file) = file {
                    builder = builder.auth(Interactive::stored(file));
                }
            }
            None => {}
        }
        let mut builder = builder.name("corelane", env!("CARGO_PKG_VERSION"));
        for (name, value) in &self.headers {
            let value = secret(&Value::parse(value))?;
            builder = builder.header(name, &value);
            secrets.push(value);
        }
        if let Some(place) = &self.bearer {
            let token = secret(&Value::parse(place))?;
            builder = builder.bearer(&token);
            secrets.push(token);
        }
        match self.era {
            EraArgument::Auto => {}
            EraArgument::Modern => builder = builder.era(Era::Modern),
            EraArgument::Legacy => builder = builder.era(Era::Legacy),
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(max_timeout) = self.max_timeout {
            builder = builder.max_timeout(max_timeout);
        }
        if let Some(answers) = answers {
            builder = answers.add_to(builder);
        }
        if self.trace {
            secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
            builder = builder.on_traffic(move |part| print_error(&traced(part, &secrets)));
        }
        Ok(builder.connect(target).await?)
    }

    /// The target, and the settings and secrets that a file has for it.
    fn place(&self, target: &str) -> Result<(Target, Builder, Vec<String>), Failure> {
        if let Some(name) = target.strip_prefix('@') {
            let upstream = server_files::find(name, self.config.as_deref())?;
            let mut secrets = Vec::new();
            let mut builder = server_files::era(Client::builder(), &upstream);
            for (name, value) in &upstream.headers {
                let value = secret(value)?;
                builder = builder.header(&**name, &value);
                secrets.push(value);
            }
            return Ok((server_files::target(&upstream)?, builder, secrets));
        }
        if self.config.is_some() {
            let fault = format!("--config is for targets such as @{target}");
            return Err(Failure::Usage(fault));
        }
        let usable = target.into_target();
        let target = usable.map_err(|error| match error {
            Error::Connect { target, reason } => {
                Failure::Usage(format!("invalid target {target:?}: {reason}, or @NAME"))
            }
            other => other.into(),
        })?;
        Ok((target, Client::builder(), Vec::new()))
    }
}

/// A part of the traffic as lines of text.
fn traced(part: Traffic<'_>, secrets: &[String]) -> String {
    let mut text = match part {
        Traffic::Head(head) => format!("* {}", head.replace('\n', "\n*   ")),
        Traffic::Sent(message) => format!("> {}", String::from_utf8_lossy(message)),
        Traffic::Received(message) => format!("< {}", String::from_utf8_lossy(message)),
    };
    for secret in secrets {
        text = text.replace(secret, "***");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Traffic, bearer, header, traced};

    #[test]
    fn literal_credentials_are_refused() {
        assert!(bearer("abc").is_err());
        assert!(bearer("env:TOKEN").is_ok() && bearer("file:/run/token").is_ok());
        assert!(header("Authorization: Bearer abc").is_err());
        assert!(header("nothing").is_err());
        let found = header("X-Team: a: b").unwrap();
        assert_eq!(found, ("x-team".to_owned(), "a: b".to_owned()));
    }

    #[test]
    fn secrets_are_replaced_in_traces() {
        let secrets = ["s3cret".to_owned()];
        let found = traced(Traffic::Received(b"{\"x\":\"s3cret\"}"), &secrets);
        assert_eq!(found, "< {\"x\":\"***\"}");
    }
}
