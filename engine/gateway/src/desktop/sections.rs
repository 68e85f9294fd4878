//! The sections `[[upstream]]` for the servers of a desktop client's file.
//!
//! Invariant: no text that may be a secret is copied. It becomes a reference to a variable of the
//! environment, which the operator sets; a secret in a place that takes no reference is a fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{DesktopError, parse};
use crate::config::{Child, Target, Upstream, Value};

/// Stands around the name of a variable that the file names.
const MARK: char = '\u{1}';
/// Parts of names of values that are secrets.
const SECRET_NAMES: [&str; 6] = ["key", "token", "secret", "password", "auth", "credential"];
/// The shortest text without spaces that may be a secret by its letters and digits.
const SECRET_CHARS_MIN: usize = 20;

/// Writes the sections `[[upstream]]` for the servers of such a file. A value that looks like a
/// secret becomes `env:NAME`, and so does a variable of the environment that the file names.
///
/// ```
/// let text = r#"{"mcpServers": {"git": {"command": "git-mcp", "env": {"TOKEN": "abc"}}}}"#;
/// let sections = corelane_gateway::desktop::sections(text)?;
/// assert!(sections.contains("env = { TOKEN = \"env:TOKEN\" }"), "{sections}");
/// # Ok::<(), corelane_gateway::desktop::DesktopError>(())
/// ```
///
/// # Errors
/// As for [`parse`], or a secret or a variable stands in a place that takes no reference.
pub fn sections(text: &str) -> Result<String, DesktopError> {
    let upstreams = parse(text, |name| Some(format!("{MARK}{name}{MARK}")))?;
    let mut out = String::new();
    for upstream in &upstreams {
        if !out.is_empty() {
            out.push('\n');
        }
        Writer {
            upstream: &upstream.name,
            out: &mut out,
        }
        .write(upstream)?;
    }
    Ok(out)
}

/// Writes one section.
struct Writer<'a> {
    upstream: &'a str,
    out: &'a mut String,
}

impl Writer<'_> {
    fn write(&mut self, upstream: &Upstream) -> Result<(), DesktopError> {
        self.out.push_str("[[upstream]]\n");
        self.line("name", &quoted(&upstream.name));
        match &upstream.targets[0] {
            Target::Child(child) => self.child(child)?,
            Target::Http { url, is_sse } => {
                let start = if *is_sse { "sse+" } else { "" };
                let url = format!("{start}{url}");
                let is_open = url.contains("http://");
                self.plain("url", &url)?;
                if is_open {
                    self.line("insecure_http", "true");
                }
            }
            Target::HttpOverUnix(path) => {
                self.plain("url", &format!("http+unix:{}", path.display()))?;
            }
            Target::Unix(path) => self.plain("url", &format!("unix:{}", path.display()))?,
            Target::Tcp(host, port) => self.plain("url", &format!("tcp://{host}:{port}"))?,
        }
        self.headers(&upstream.headers)
    }

    fn child(&mut self, child: &Child) -> Result<(), DesktopError> {
        let parts = child.command.iter();
        let parts = parts.map(|part| Ok(quoted(self.public(part)?)));
        let parts = parts.collect::<Result<Vec<_>, DesktopError>>()?;
        self.line("command", &format!("[{}]", parts.join(", ")));
        if let Some(directory) = &child.directory {
            self.plain("cwd", &directory.to_string_lossy())?;
        }
        let values = child.environment.iter();
        let values = values.map(|(name, value)| {
            let value = self.value(name, text_of(value), || name.to_string())?;
            Ok(format!("{} = {}", key(name), quoted(&value)))
        });
        let values = values.collect::<Result<Vec<_>, DesktopError>>()?;
        if !values.is_empty() {
            self.line("env", &format!("{{ {} }}", values.join(", ")));
        }
        Ok(())
    }

    fn headers(&mut self, headers: &BTreeMap<Box<str>, Value>) -> Result<(), DesktopError> {
        let mut values = Vec::new();
        for (name, value) in headers {
            let text = text_of(value);
            if &**name != "authorization" {
                let value = self.value(name, text, || self.variable(name))?;
                values.push(format!("{} = {}", quoted(name), quoted(&value)));
                continue;
            }
            let credential = match text.strip_prefix("Bearer ") {
                Some(token) => {
                    let token = self.value(name, token, || self.variable("token"))?;
                    format!("{{ kind = \"bearer\", token = {} }}", quoted(&token))
                }
                None => {
                    let value = self.value(name, text, || self.variable(name))?;
                    let value = quoted(&value);
                    format!("{{ kind = \"header\", name = \"Authorization\", value = {value} }}")
                }
            };
            self.line("credential", &credential);
        }
        if !values.is_empty() {
            self.line("headers", &format!("{{ {} }}", values.join(", ")));
        }
        Ok(())
    }

    /// A value that may be a reference; `variable` is the name of one for a secret.
    fn value(
        &self,
        name: &str,
        text: &str,
        variable: impl Fn() -> String,
    ) -> Result<String, DesktopError> {
        let inner = text.strip_prefix(MARK).and_then(|it| it.strip_suffix(MARK));
        if let Some(inner) = inner.filter(|inner| !inner.contains(MARK)) {
            return Ok(format!("env:{inner}"));
        }
        let is_reference = !matches!(Value::parse(text), Value::Plain(_));
        if text.contains(MARK) || is_reference {
            return Err(self.fault(name));
        }
        let lower = name.to_ascii_lowercase();
        match SECRET_NAMES.iter().any(|part| lower.contains(part)) || may_be_secret(text) {
            true => Ok(format!("env:{}", variable())),
            false => Ok(text.to_owned()),
        }
    }

    /// A text in a place that takes no reference.
    fn public<'t>(&self, text: &'t str) -> Result<&'t str, DesktopError> {
        let is_secret = text.split(['=', '&', '?']).any(may_be_secret);
        // In a URL the mark is encoded.
        match text.contains(MARK) || text.contains("%01") || is_secret {
            true => Err(self.fault("an argument or the address")),
            false => Ok(text),
        }
    }

    fn plain(&mut self, name: &str, text: &str) -> Result<(), DesktopError> {
        let text = quoted(self.public(text)?);
        self.line(name, &text);
        Ok(())
    }

    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.out, "{name} = {value}");
    }

    /// A variable for a secret of the upstream.
    fn variable(&self, name: &str) -> String {
        let name = format!("{}_{name}", self.upstream);
        let valid = |it: char| match it.is_ascii_alphanumeric() {
            true => it.to_ascii_uppercase(),
            false => '_',
        };
        let name: String = name.chars().map(valid).collect();
        match name.starts_with(|it: char| it.is_ascii_digit()) {
            true => format!("_{name}"),
            false => name,
        }
    }

    fn fault(&self, place: &str) -> DesktopError {
        DesktopError::NoReference(self.upstream.to_owned(), place.to_owned())
    }
}

fn text_of(value: &Value) -> &str {
    match value {
        Value::Plain(text) | Value::File(text) | Value::Variable(text) => text,
    }
}

/// Whether a text looks like a key or a token: long, without spaces and paths, with letters and
/// digits.
fn may_be_secret(text: &str) -> bool {
    let is_in = |it: char| it.is_ascii_alphanumeric() || "_-+.=~".contains(it);
    let has = |is: fn(&char) -> bool| text.chars().any(|it| is(&it));
    text.chars().count() >= SECRET_CHARS_MIN
        && text.chars().all(is_in)
        && has(char::is_ascii_digit)
        && has(char::is_ascii_alphabetic)
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A key of TOML.
fn key(name: &str) -> String {
    let is_bare = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

#[cfg(test)]
mod tests {
    use super::sections;
    use crate::config::{self, Credential, Value};

    #[test]
    fn secrets_become_references_and_the_sections_are_valid() {
        let text = r#"{"mcpServers": {
            "files": { "command": "npx", "args": ["-y", "@scope/server-filesystem", "/srv/a b"],
                "env": { "DEBUG": "1", "API_KEY": "canary1", "PLACE": "${env:HOME}",
                    "OTHER": "sk-canary2-0123456789abcdef" } },
            "Remote API": { "url": "https://api.example.com/mcp",
                "headers": { "Authorization": "Bearer canary3", "X-Region": "eu",
                    "X-Auth": "canary4" } },
            "basic": { "url": "http://10.0.0.1/sse", "type": "sse",
                "headers": { "Authorization": "Basic ${env:BASIC}" } },
            "own": { "url": "https://h/mcp", "headers": { "authorization": "Bearer ${env:T}" } }
        }}"#;
        let text = text.replace("Basic ${env:BASIC}", "Basic canary5");
        let written = sections(&text).expect("all can be written");
        assert!(!written.contains("canary"), "{written}");
        let upstreams = config::parse(&written).expect("valid");
        let names: Vec<&str> = upstreams.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["remote-api", "basic", "files", "own"]);
        let variable = |name: &str| Value::Variable(name.into());
        let remote = &upstreams[0];
        let bearer = Credential::Bearer(variable("REMOTE_API_TOKEN"));
        assert_eq!(remote.credential, Some(bearer));
        assert_eq!(remote.headers["x-auth"], variable("REMOTE_API_X_AUTH"));
        assert_eq!(remote.headers["x-region"], Value::Plain("eu".into()));
        let header = Credential::Header("authorization".into(), variable("BASIC_AUTHORIZATION"));
        assert_eq!(upstreams[1].credential, Some(header));
        let config::Target::Child(child) = &upstreams[2].targets[0] else {
            panic!("{upstreams:?}");
        };
        assert_eq!(&*child.command[3], "/srv/a b");
        let environment = ["API_KEY", "DEBUG", "OTHER", "PLACE"];
        assert!(child.environment.keys().map(|it| &**it).eq(environment));
        assert_eq!(child.environment["API_KEY"], variable("API_KEY"));
        assert_eq!(child.environment["DEBUG"], Value::Plain("1".into()));
        assert_eq!(child.environment["OTHER"], variable("OTHER"));
        assert_eq!(child.environment["PLACE"], variable("HOME"));
        let own = Credential::Bearer(variable("T"));
        assert_eq!(upstreams[3].credential, Some(own));
    }

    #[test]
    fn a_secret_in_a_place_without_references_is_a_fault_that_does_not_repeat_it() {
        for server in [
            r#"{ "command": "x", "args": ["--api-key=sk0123456789abcdefghij"] }"#,
            r#"{ "command": "x", "args": ["${env:KEY}"] }"#,
            r#"{ "url": "https://h/mcp?key=sk0123456789abcdefghij" }"#,
            r#"{ "url": "https://h/${env:KEY}" }"#,
            r#"{ "command": "x", "env": { "A": "a${env:B}" } }"#,
            r#"{ "command": "x", "env": { "A": "file:/x" } }"#,
        ] {
            let text = format!("{{\"mcpServers\": {{\"up\": {server}}}}}");
            let error = sections(&text).expect_err(server).to_string();
            assert!(error.starts_with("server \"up\""), "{error}");
            assert!(!error.contains("sk0123"), "{error}");
        }
    }
}
