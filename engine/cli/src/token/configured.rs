//! A token or an API key, verified as a server with an access file would do it.

use std::fmt::Write as _;
use std::path::Path;

use corelane::Profile;
use corelane_control::config::ServerFacts;
use corelane_control::probe::{self, ProbedIssuer};
use corelane_guard::api_key;
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::verify::Circumstances;

use super::answer::{Answer, CANNOT_RUN, NOT_VALID, TokenError, claims, clipped, rules};
use crate::access_file;

/// Verifies a token with the access file at `path` and the keys that its issuers have now.
///
/// # Errors
/// The file has faults, or no requests can be made.
pub(super) fn verify(
    path: &Path,
    profile: Option<&Path>,
    token: &[u8],
    now_s: u64,
) -> Result<Answer, TokenError> {
    let profile = match profile {
        Some(path) => Profile::from_file(path)?,
        None => Profile::default(),
    };
    let facts = ServerFacts::from(&profile);
    let config = access_file::read(path, &facts)?;
    let probed = probe::probe(&config)?;
    let mut text = String::new();
    for issuer in &probed {
        describe(issuer, &mut text);
    }
    let verifier = probe::verifier(&config, &facts.limits, &probed);
    let circumstances = Circumstances {
        now_s,
        certificate: None,
        address: None,
    };
    let result = verifier.verify(token, &circumstances);
    let fault = result.as_ref().err().copied();
    if token.starts_with(api_key::PREFIX) {
        text.push_str(match fault {
            None => "the API key is valid\n",
            Some(_) => "FAILED  the API key is unknown, expired, or not for this address\n",
        });
    } else {
        text.push_str(&rules(fault.map_or(Ok(()), Err)));
        text.push_str(&claims(token));
    }
    if let Ok(verified) = &result {
        let principal = clipped(verified.identity.principal_key());
        writeln!(text, "principal = {principal}").expect("a string takes all");
    }
    let code = match fault {
        None => 0,
        // Only the issuer knows, and it was not reached.
        Some(TokenFault::KeysUnavailable | TokenFault::NotIntrospected) => CANNOT_RUN,
        Some(_) => NOT_VALID,
    };
    Ok(Answer { text, code })
}

/// A line about the keys of an issuer, and one for each that is skipped.
fn describe(probed: &ProbedIssuer, text: &mut String) {
    let alias = &probed.issuer.alias;
    match &probed.keys {
        Ok(Some(keys)) => {
            writeln!(text, "issuer {alias}: {} usable keys", keys.len())
                .expect("a string takes all");
            for (index, reason) in keys.skipped() {
                writeln!(text, "issuer {alias}: key {index} is skipped: {reason}")
                    .expect("a string takes all");
            }
        }
        Ok(None) => text.push_str(&format!("issuer {alias}: introspects its tokens\n")),
        Err(error) => text.push_str(&format!("issuer {alias}: no keys: {error}\n")),
    }
}
