//! Secrets in the tree: keys of this server, private keys and well-known forms of credentials.
//!
//! Tests that need a credential make it, so there is nothing to allow but the public vectors in
//! [`VECTORS`]. It deliberately lacks a measure of randomness, which finds hashes and ids.

use std::sync::LazyLock;

use regex::Regex;

use super::source::{Finding, Source};

/// Files with published test vectors.
const VECTORS: &[&str] = &["engine/guard/tests/wycheproof/"];

/// Forms of secrets, each a pattern that does not match itself.
static FORMS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let forms = [
        (
            "an API key of this server",
            "clk_[A-Za-z0-9-]+_[A-Za-z0-9_-]{43}_[0-9a-f]{8}",
        ),
        (
            "a private key",
            "-----BEGIN [A-Z ]*PRIVATE KEY-----(?-u:\\s)*[A-Za-z0-9+/]{16}",
        ),
        (
            "a private key",
            "\"d\"(?-u:\\s)*:(?-u:\\s)*\"[A-Za-z0-9_-]{43,}\"",
        ),
        (
            "a signed token",
            "eyJ[A-Za-z0-9_-]{16,}\\.eyJ[A-Za-z0-9_-]{16,}\\.[A-Za-z0-9_-]{43,}",
        ),
        ("a key of AWS", "(?-u:\\b)(AKIA|ASIA)[A-Z0-9]{16}(?-u:\\b)"),
        (
            "a token of GitHub",
            "(?-u:\\b)(gh[opsur]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})",
        ),
        ("a token of Slack", "(?-u:\\b)xox[abprs]-[A-Za-z0-9-]{20}"),
        ("a key of Google", "(?-u:\\b)AIza[A-Za-z0-9_-]{35}"),
        ("a key of a model provider", "(?-u:\\b)sk-[A-Za-z0-9_-]{32}"),
        (
            "a token of a package registry",
            "(?-u:\\b)(npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{40})",
        ),
        (
            "a password in a URL",
            "://[A-Za-z0-9._-]+:[A-Za-z0-9._~!*+-]{8,}@",
        ),
    ];
    let compiled = forms.map(|(name, form)| (name, Regex::new(form).expect("a valid pattern")));
    Vec::from(compiled)
});

/// No file has a secret.
#[must_use]
pub fn secrets_are_absent(source: &Source) -> Vec<Finding> {
    if VECTORS.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (name, form) in FORMS.iter() {
        for found in form.find_iter(&source.text) {
            let line = source.text[..found.start()].matches('\n').count() + 1;
            // The secret itself stays out of the log of a test.
            findings.push(Finding::at(source, line, format!("it looks like {name}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Source, secrets_are_absent};

    fn count(text: &str) -> usize {
        secrets_are_absent(&Source::new("a.toml", text)).len()
    }

    #[test]
    fn finds_each_form_of_a_secret_at_its_line() {
        let long = "aB3".repeat(20);
        let base64 = |length: usize| &long[..length];
        for secret in [
            format!("clk_ci_{}_0123abcd", base64(43)),
            format!("-----BEGIN {} KEY-----\n{}", "PRIVATE", base64(20)),
            format!("{{\"d\": \"{}\"}}", base64(43)),
            format!("eyJ{0}.eyJ{0}.{1}", base64(16), base64(43)),
            format!("AKIA{}", "A1".repeat(8)),
            format!("ghp_{}", base64(36)),
            format!("github_pat_{long}"),
            format!("xoxb-{}", base64(20)),
            format!("AIza{}", base64(35)),
            format!("sk-{}", base64(32)),
            format!("npm_{}", base64(36)),
            format!("pypi-{}", base64(40)),
            format!("postgres://user:{}@host/db", base64(12)),
        ] {
            let found = secrets_are_absent(&Source::new("a.toml", &format!("x\n{secret}\n")));
            assert_eq!(found.len(), 1, "{secret}: {found:?}");
            assert!(found[0].line == 2 && !found[0].fault.contains(base64(12)));
        }
    }

    #[test]
    fn texts_that_only_name_secrets_are_none() {
        for text in [
            "clk_<id>_<43 characters>_<crc32>",
            "Authorization: Bearer clk_reader_A",
            "-----BEGIN PRIVATE KEY-----",
            "https://example.com:8443/mcp",
            "{\"d\": \"short\"}",
            "sha256 = \"925764d6ffdf7d743004744a3e5bbfbc919706525b1b11081909bf0a8e766306\"",
        ] {
            assert_eq!(count(text), 0, "{text}");
        }
    }
}
