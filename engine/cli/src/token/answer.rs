//! The answer about a token: the rules that it passes, and its claims.

use std::io;
use std::path::PathBuf;

use corelane_control::ControlError;
use corelane_control::config::ConfigError;
use corelane_guard::api_key;
use corelane_guard::token::claims::ResourceError;
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::jws::Jws;
use corelane_guard::token::keys::KeySetError;

/// The exit code of a token that is not valid.
pub(super) const NOT_VALID: u8 = 1;
/// The exit code if there is no answer.
pub(crate) const CANNOT_RUN: u8 = 3;
/// Longest text of a claim that is printed, in characters.
const CLIP_CHARACTERS: usize = 80;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("standard input: {0}")]
    Input(io::Error),
    #[error("the input has more than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Profile(#[from] corelane::profile::ProfileError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("no requests can be made: {0}")]
    Control(#[from] ControlError),
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

/// The output of a command, and its exit code.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) code: u8,
}

impl Answer {
    /// Of a command that succeeded.
    pub(super) fn done(text: String) -> Answer {
        Answer { text, code: 0 }
    }
}

/// A line for each rule up to the one that is broken.
pub(super) fn rules(result: Result<(), TokenFault>) -> String {
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
pub(super) fn claims(token: &[u8]) -> String {
    let payload = Jws::read(token).map(|jws| jws.payload).unwrap_or_default();
    let claims: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&payload).unwrap_or_default();
    let lines = claims
        .iter()
        .map(|(name, value)| format!("{} = {}\n", clipped(name), clipped(&value.to_string())));
    lines.collect()
}

/// The start of a text, without characters that a terminal obeys.
pub(super) fn clipped(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::{TokenFault, clipped, rules};

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
}
