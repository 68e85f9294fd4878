//! `corelane token`: explains why a token is valid or not, and makes API keys.
//!
//! Tokens and keys are read from standard input or a file, never from arguments, which other users
//! of the machine can see.

mod answer;
mod configured;

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use corelane_guard::api_key;
use corelane_guard::credential::TOKEN_BYTES_MAX;
use corelane_guard::policy::Policy;
use corelane_guard::token::claims::Resource;
use corelane_guard::token::jws::Algorithm;
use corelane_guard::token::keys::{IssuerKeys, KEY_SET_BYTES_MAX};
use corelane_guard::token::verify::{Circumstances, Issuer, TypeProfile, Verifier};

pub(crate) use answer::CANNOT_RUN;
use answer::{Answer, NOT_VALID, TokenError, claims, rules};

/// The bytes of a line end after a token.
const LINE_END_BYTES_MAX: usize = 2;

/// The commands of `corelane token`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TokenCommand {
    /// Read an access token and print which rules it passes: with --config as a server does, with
    /// the keys that its issuers have now, or with a file of keys. Exits with 0 if it is valid, 1
    /// if it is not, 3 if it cannot be verified.
    Verify(VerifyArguments),
    /// Make an API key. Prints the key, which is stored nowhere, and its lines of the
    /// configuration.
    New(NewArguments),
    /// Read an API key from standard input and print its lines of the configuration.
    Hash,
}

/// The arguments of `corelane token verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArguments {
    /// The file with the token; "-" is standard input.
    #[arg(value_name = "TOKEN-FILE", default_value = "-")]
    token: PathBuf,
    /// The access file of the server, such as corelane.toml. API keys are verified too.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jwks", "issuer", "resource",
        "audiences", "type_profile", "algorithms"])]
    config: Option<PathBuf>,
    /// With --config: the tuning profile of the server, if its endpoint or address is another one.
    #[arg(long = "server-profile", value_name = "FILE", requires = "config")]
    server_profile: Option<PathBuf>,
    /// The keys of the issuer: a file with its JWK set.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    jwks: Option<PathBuf>,
    /// The issuer: the value of the claim iss.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    issuer: Option<String>,
    /// The resource: the URL of the MCP endpoint, which the claim aud must have.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    resource: Option<String>,
    /// Another value of the claim aud that is accepted, such as a client id. Repeatable.
    #[arg(long = "audience", value_name = "NAME")]
    audiences: Vec<Box<str>>,
    /// The types of tokens: at+jwt only, or JWT and none too.
    #[arg(long = "profile", value_enum, default_value = "rfc9068")]
    type_profile: ProfileArgument,
    /// An algorithm that the issuer may use. Repeatable [default: ES256, ES384, EdDSA, PS256,
    /// RS256].
    #[arg(long = "algorithm", value_name = "NAME", value_parser = algorithm)]
    algorithms: Vec<Algorithm>,
}

/// The types of tokens.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProfileArgument {
    Rfc9068,
    Jwt,
}

/// The arguments of `corelane token new`.
#[derive(Debug, Clone, Args)]
pub(crate) struct NewArguments {
    /// The id: lower-case letters, digits and hyphens. It is the name of the principal.
    #[arg(long)]
    id: String,
    /// A role of the key. Repeatable.
    #[arg(long = "roles", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).ok_or_else(|| format!("{name:?} is no supported algorithm"))
}

/// Runs the command.
pub(crate) fn run(command: &TokenCommand) -> ExitCode {
    match answer(command) {
        Ok(Answer { text, code }) => {
            print!("{text}");
            code.into()
        }
        Err(error) => {
            eprintln!("corelane token: {error}");
            CANNOT_RUN.into()
        }
    }
}

fn answer(command: &TokenCommand) -> Result<Answer, TokenError> {
    match command {
        TokenCommand::Verify(arguments) => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            verify(arguments, now.as_secs())
        }
        TokenCommand::New(arguments) => {
            let mut random = [0; 32];
            getrandom::fill(&mut random).map_err(TokenError::Random)?;
            let (key, sha256) = api_key::create(&arguments.id, &random)?;
            let entry = entry(&arguments.id, &sha256, &arguments.roles);
            let text = format!("{key}\n\n# Keep the key now: only its hash is stored.\n{entry}");
            Ok(Answer::done(text))
        }
        TokenCommand::Hash => {
            let key = read_input(TOKEN_BYTES_MAX)?;
            let (id, sha256) = api_key::digest(&key).ok_or(TokenError::NoApiKey)?;
            Ok(Answer::done(entry(id, &sha256, &[])))
        }
    }
}

fn verify(arguments: &VerifyArguments, now_s: u64) -> Result<Answer, TokenError> {
    let profile = arguments.server_profile.as_deref();
    if let Some(config) = &arguments.config {
        let token = read_token(&arguments.token)?;
        return configured::verify(config, profile, &token, now_s);
    }
    // They are there without a configuration.
    let path = arguments.jwks.as_deref().unwrap_or(Path::new(""));
    let keys = read_file(path, KEY_SET_BYTES_MAX)?;
    let keys = IssuerKeys::from_jwks(&keys).map_err(|error| TokenError::KeySet {
        path: path.to_owned(),
        error,
    })?;
    let token = read_token(&arguments.token)?;
    verify_with(arguments, keys, &token, now_s)
}

/// Verifies a token with the keys of a file.
fn verify_with(
    arguments: &VerifyArguments,
    keys: IssuerKeys,
    token: &[u8],
    now_s: u64,
) -> Result<Answer, TokenError> {
    let mut issuer = Issuer::new("issuer", arguments.issuer.as_deref().unwrap_or_default());
    issuer.audiences_extra.clone_from(&arguments.audiences);
    issuer.profile = match arguments.type_profile {
        ProfileArgument::Rfc9068 => TypeProfile::Rfc9068,
        ProfileArgument::Jwt => TypeProfile::Jwt,
    };
    if !arguments.algorithms.is_empty() {
        issuer.algorithms.clone_from(&arguments.algorithms);
    }
    let mut text = format!("{} usable keys\n", keys.len());
    for (index, reason) in keys.skipped() {
        writeln!(text, "key {index} is skipped: {reason}").expect("a string takes all");
    }
    let resource = Resource::new(arguments.resource.as_deref().unwrap_or_default())?;
    let verifier = Verifier::new(Arc::new(Policy::default()))
        .with_resource(resource)
        .with_issuer(Arc::new(issuer), Some(Arc::new(keys)));
    let circumstances = Circumstances {
        now_s,
        certificate: None,
        address: None,
    };
    let result = verifier.verify(token, &circumstances).map(|_| ());
    text.push_str(&rules(result));
    text.push_str(&claims(token));
    let code = if result.is_ok() { 0 } else { NOT_VALID };
    Ok(Answer { text, code })
}

/// The lines of the configuration for an API key.
fn entry(id: &str, sha256: &[u8; 32], roles: &[String]) -> String {
    let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("[[auth.api_key]]\nid = \"{id}\"\nsha256 = \"{digits}\"\n");
    if !roles.is_empty() {
        writeln!(text, "roles = {roles:?}").expect("a string takes all");
    }
    text
}

/// Reads the token in a file, or on standard input.
fn read_token(path: &Path) -> Result<Vec<u8>, TokenError> {
    if path == Path::new("-") {
        return read_input(TOKEN_BYTES_MAX);
    }
    let text = read_file(path, TOKEN_BYTES_MAX + LINE_END_BYTES_MAX)?;
    within(TOKEN_BYTES_MAX, &text)
}

fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, TokenError> {
    let failed = |error| TokenError::File {
        path: path.to_owned(),
        error,
    };
    let mut text = Vec::new();
    // One byte more, so that a longer file is refused for its length.
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(bytes_max as u64 + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// Reads a line from standard input.
fn read_input(bytes_max: usize) -> Result<Vec<u8>, TokenError> {
    let mut text = Vec::new();
    let bytes_max_with_end = bytes_max + LINE_END_BYTES_MAX + 1;
    io::stdin()
        .take(bytes_max_with_end as u64)
        .read_to_end(&mut text)
        .map_err(TokenError::Input)?;
    within(bytes_max, &text)
}

/// A text without its line end, if it is not longer than that.
fn within(bytes_max: usize, text: &[u8]) -> Result<Vec<u8>, TokenError> {
    let text = text.trim_ascii_end();
    if text.len() > bytes_max {
        return Err(TokenError::TooLong(bytes_max));
    }
    Ok(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::entry;

    #[test]
    fn an_entry_is_toml() {
        let text = entry("ci", &[0xab; 32], &["reader".to_owned(), "ops".to_owned()]);
        let sha256 = "ab".repeat(32);
        let expected = format!(
            "[[auth.api_key]]\nid = \"ci\"\nsha256 = \"{sha256}\"\nroles = [\"reader\", \"ops\"]\n"
        );
        assert_eq!(text, expected);
    }
}
