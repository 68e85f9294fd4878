//! `corelane token`: explains why a token is valid or not, and makes API keys.
//!
//! Tokens and keys are read from standard input, never from arguments, which other users of the
//! machine can see.

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
use corelane_guard::token::claims::{Resource, ResourceError};
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::jws::{Algorithm, Jws};
use corelane_guard::token::keys::{IssuerKeys, KEY_SET_BYTES_MAX, KeySetError};
use corelane_guard::token::verify::{Circumstances, Issuer, TypeProfile, Verifier};

/// The exit code of a token that is not valid.
const NOT_VALID: u8 = 1;
/// The exit code if there is no answer.
const CANNOT_RUN: u8 = 3;
/// Longest text of a claim that is printed, in characters.
const CLIP_CHARACTERS: usize = 80;

/// The commands of `corelane token`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TokenCommand {
    /// Read an access token from standard input and print which rules it passes. Exits with 0 if
    /// it is valid, 1 if it is not, 3 if it cannot be verified.
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
    /// The keys of the issuer: a file with its JWK set.
    #[arg(long, value_name = "FILE")]
    jwks: PathBuf,
    /// The issuer: the value of the claim iss.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The resource: the URL of the MCP endpoint, which the claim aud must have.
    #[arg(long, value_name = "URL")]
    resource: String,
    /// Another value of the claim aud that is accepted, such as a client id. Repeatable.
    #[arg(long = "audience", value_name = "NAME")]
    audiences: Vec<Box<str>>,
    /// The types of tokens: at+jwt only, or JWT and none too.
    #[arg(long, value_enum, default_value = "rfc9068")]
    profile: ProfileArgument,
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

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("standard input: {0}")]
    Input(io::Error),
    #[error("standard input has more than {0} bytes")]
    TooLong(usize),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    KeySet { path: PathBuf, error: KeySetError },
    #[error(transparent)]
    Resource(#[from] ResourceError),
    #[error(transparent)]
    ApiKey(#[from] api_key::ApiKeyError),
    #[error("standard input is no API key: clk_<id>_<secret>_<checksum>, as it was printed")]
    NoApiKey,
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).ok_or_else(|| format!("{name:?} is no supported algorithm"))
}

/// Runs the command.
pub(crate) fn run(command: &TokenCommand) -> ExitCode {
    match answer(command) {
        Ok((text, is_valid)) => {
            print!("{text}");
            if is_valid { 0 } else { NOT_VALID }.into()
        }
        Err(error) => {
            eprintln!("corelane token: {error}");
            CANNOT_RUN.into()
        }
    }
}

fn answer(command: &TokenCommand) -> Result<(String, bool), TokenError> {
    match command {
        TokenCommand::Verify(arguments) => {
            let keys = read_file(&arguments.jwks)?;
            let keys = IssuerKeys::from_jwks(&keys).map_err(|error| TokenError::KeySet {
                path: arguments.jwks.clone(),
                error,
            })?;
            let token = read_input(TOKEN_BYTES_MAX)?;
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            verify(arguments, keys, &token, now.as_secs())
        }
        TokenCommand::New(arguments) => {
            let mut random = [0; 32];
            getrandom::fill(&mut random).map_err(TokenError::Random)?;
            let (key, sha256) = api_key::create(&arguments.id, &random)?;
            let entry = entry(&arguments.id, &sha256, &arguments.roles);
            let text = format!("{key}\n\n# Keep the key now: only its hash is stored.\n{entry}");
            Ok((text, true))
        }
        TokenCommand::Hash => {
            let key = read_input(TOKEN_BYTES_MAX)?;
            let (id, sha256) = api_key::digest(&key).ok_or(TokenError::NoApiKey)?;
            Ok((entry(id, &sha256, &[]), true))
        }
    }
}

fn verify(
    arguments: &VerifyArguments,
    keys: IssuerKeys,
    token: &[u8],
    now_s: u64,
) -> Result<(String, bool), TokenError> {
    let mut issuer = Issuer::new("issuer", &arguments.issuer);
    issuer.audiences_extra.clone_from(&arguments.audiences);
    issuer.profile = match arguments.profile {
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
    let resource = Resource::new(&arguments.resource)?;
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
    Ok((text, result.is_ok()))
}

/// A line for each rule up to the one that is broken.
fn rules(result: Result<(), TokenFault>) -> String {
    let mut text = String::new();
    for (rule, faults) in TokenFault::RULES {
        if let Some(fault) = result.err().filter(|fault| faults.contains(fault)) {
            text.push_str(&format!(
                "FAILED  {fault}\nthe rules after it were not checked\n"
            ));
            return text;
        }
        text.push_str(&format!("passed  {rule}\n"));
    }
    match result {
        Ok(()) => text + "the token is valid\n",
        Err(fault) => format!("FAILED  {fault}\n"),
    }
}

/// The claims as the token has them, each on a line and clipped.
fn claims(token: &[u8]) -> String {
    let payload = Jws::read(token).map(|jws| jws.payload).unwrap_or_default();
    let claims: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&payload).unwrap_or_default();
    let lines = claims
        .iter()
        .map(|(name, value)| format!("{} = {}\n", clipped(name), clipped(&value.to_string())));
    lines.collect()
}

/// The start of a text, without characters that a terminal obeys.
fn clipped(text: &str) -> String {
    let mut clipped = String::new();
    for character in text.chars().take(CLIP_CHARACTERS) {
        match character.is_ascii_graphic() || character == ' ' {
            true => clipped.push(character),
            false => clipped.extend(character.escape_unicode()),
        }
    }
    if text.chars().nth(CLIP_CHARACTERS).is_some() {
        clipped.push_str("...");
    }
    clipped
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

fn read_file(path: &Path) -> Result<Vec<u8>, TokenError> {
    let failed = |error| TokenError::File {
        path: path.to_owned(),
        error,
    };
    let mut text = Vec::new();
    // One byte more, so that a longer file is refused for its length.
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(KEY_SET_BYTES_MAX as u64 + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// Reads a line from standard input.
fn read_input(bytes_max: usize) -> Result<Vec<u8>, TokenError> {
    let mut text = Vec::new();
    let bytes_max_with_end = bytes_max as u64 + 3;
    io::stdin()
        .take(bytes_max_with_end)
        .read_to_end(&mut text)
        .map_err(TokenError::Input)?;
    let text = text.trim_ascii_end();
    if text.len() > bytes_max {
        return Err(TokenError::TooLong(bytes_max));
    }
    Ok(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::{TokenFault, clipped, entry, rules};

    #[test]
    fn rules_are_listed_up_to_the_broken_one() {
        let text = rules(Err(TokenFault::Expired));
        assert!(text.starts_with("passed  V1 "), "{text}");
        assert!(text.contains("passed  V5 the signature"), "{text}");
        let end = "FAILED  V8: the token has expired\nthe rules after it were not checked\n";
        assert!(text.ends_with(end), "{text}");
        assert!(!text.contains("V15"), "{text}");
        let text = rules(Ok(()));
        assert!(text.contains("passed  V15 "), "{text}");
        assert!(text.ends_with("the token is valid\n"), "{text}");
        let text = rules(Err(TokenFault::Type));
        assert!(text.contains("set profile = \"jwt\""), "{text}");
    }

    #[test]
    fn claims_are_clipped_and_move_no_cursor() {
        assert_eq!(clipped("a\u{1b}[2J\u{202e}"), "a\\u{1b}[2J\\u{202e}");
        assert_eq!(clipped(&"a".repeat(80)), "a".repeat(80));
        assert_eq!(clipped(&"a".repeat(81)), format!("{}...", "a".repeat(80)));
    }

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
