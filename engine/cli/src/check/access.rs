//! Probes of the access file: its faults, and its issuers as they are now.

use std::path::Path;

use corelane::Profile;
use corelane_control::config::{Config, ServerFacts};
use corelane_control::probe::{ProbedIssuer, probe};

use super::finding::{Fault, Outcome, Probe, counted};
use crate::access_file;

/// The most seconds between two clocks: half of the tolerance of tokens.
const CLOCK_DIFFERENCE_S_MAX: u64 = 30;

const FILE: Probe = Probe {
    name: "access_file",
    examine: |_, _| None,
    reason: "a server does not start with such a file",
};
const ISSUERS: Probe = Probe {
    name: "issuers",
    examine: |_, _| None,
    reason: "without the keys of an issuer its tokens get 503",
};
const CLOCKS: Probe = Probe {
    name: "clocks",
    examine: |_, _| None,
    reason: "tokens of such an issuer seem expired or not yet valid",
};

/// The outcomes of the probes of the access file at `path`.
pub(super) fn examine(path: &Path, profile: &Profile) -> Vec<Outcome> {
    let config = access_file::read(path, &ServerFacts::from(profile));
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let faults = error.findings.iter().map(|finding| {
                let found = format!("line {}: {}", finding.line, finding.fault);
                Fault::change(found, format!("correct {}", path.display()))
            });
            return vec![outcome(&FILE, faults.collect())];
        }
    };
    let mut outcomes = vec![outcome(&FILE, Vec::new())];
    outcomes.extend(of_issuers(&config));
    outcomes
}

fn of_issuers(config: &Config) -> [Outcome; 2] {
    match probe(config) {
        Ok(probed) => [
            outcome(&ISSUERS, probed.iter().filter_map(keys_fault).collect()),
            outcome(&CLOCKS, probed.iter().filter_map(clock_fault).collect()),
        ],
        Err(error) => {
            let remedy = "name the authorities of issuers in ca_files of [auth]";
            let fault = Fault::change(format!("no requests can be made: {error}"), remedy);
            [outcome(&ISSUERS, vec![fault]), outcome(&CLOCKS, Vec::new())]
        }
    }
}

fn outcome(probe: &'static Probe, faults: Vec<Fault>) -> Outcome {
    Outcome {
        probe,
        faults: Some(faults),
    }
}

fn keys_fault(probed: &ProbedIssuer) -> Option<Fault> {
    let alias = &probed.issuer.alias;
    match &probed.keys {
        Err(error) => Some(Fault::change(
            format!("issuer {alias} gives no keys: {error}"),
            "check its URL in [[auth.issuer]], and that this host reaches it",
        )),
        Ok(Some(keys)) if keys.is_empty() => Some(Fault::change(
            format!("issuer {alias} has no usable key"),
            "see why with corelane token verify --config, and let it offer ES256 or RS256",
        )),
        Ok(_) => None,
    }
}

fn clock_fault(probed: &ProbedIssuer) -> Option<Fault> {
    let ahead_s = probed.clock_ahead_s?;
    let difference_s = ahead_s.unsigned_abs();
    (difference_s > CLOCK_DIFFERENCE_S_MAX).then(|| {
        let side = if ahead_s > 0 { "ahead of" } else { "behind" };
        Fault::change(
            format!(
                "the clock of issuer {} is {} {side} that of this host",
                probed.issuer.alias,
                counted(difference_s, "second")
            ),
            "synchronise the clocks, such as with timedatectl set-ntp true",
        )
    })
}
