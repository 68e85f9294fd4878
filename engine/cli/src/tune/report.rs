//! The profile that `tune` writes: TOML, with the provenance of each value as comments.

use corelane::Profile;

use super::knobs::SHARDS;
use super::search::{End, Found, RaceResult, Trial};
use crate::profile::value_in;

/// The knobs of a profile that differ from their defaults, as TOML; `notes` are comments for keys.
pub(super) fn settings_text(profile: &Profile, notes: &[(String, String)]) -> String {
    let defaults = Profile::default().settings();
    let mut text = String::new();
    let mut core = String::new();
    for (key, value) in profile.settings() {
        let Some(value) = value.filter(|value| value_in(&defaults, &key) != Some(value)) else {
            continue;
        };
        let of_core = key
            .strip_prefix("core ")
            .and_then(|rest| rest.split_once(' '));
        let (id, name) = of_core.unwrap_or(("", &key));
        if id != core {
            core = id.to_owned();
            text += &format!("\n[[core]]\nid = {id}\n");
        }
        let is_tuned = of_core.is_some() || name == SHARDS;
        for (_, note) in notes.iter().filter(|(of, _)| is_tuned && of == name) {
            text += &format!("# {note}\n");
        }
        text += &format!("{name} = {value}\n");
    }
    text
}

/// A comment for each value that the search has changed.
pub(super) fn notes(found: &Found) -> Vec<(String, String)> {
    let won = found
        .trials
        .iter()
        .filter(|trial| trial.result == RaceResult::Won);
    let note = |trial: &Trial| {
        let text = format!("{} -> {}: cost {}", trial.from, trial.to, trial.gain);
        (trial.key.to_owned(), text)
    };
    won.map(note).collect()
}

/// The outcome in sentences, a line each.
pub(super) fn summary(found: &Found) -> Vec<String> {
    let noise = found.noise * 100.0;
    let mut lines = vec![format!(
        "noise: two equal settings differ by up to {noise:.1} %"
    )];
    match found.end {
        End::TooNoisy => {
            lines.push("too noisy to tune: end other programs, or give more --seconds".to_owned())
        }
        End::InsideNoise => {
            lines.push("stopped: every other gain is inside the noise".to_owned());
        }
        End::OutOfTime { untried } => lines.push(format!(
            "stopped: the time is over; {untried} knobs were not tried to the end; give more \
             --seconds"
        )),
    }
    match &found.confirmed {
        Some((gain, RaceResult::Won)) => lines.push(format!("all changes together: cost {gain}")),
        Some((gain, _)) => lines.push(format!(
            "not confirmed: all changes together have cost {gain}, which is inside the noise or \
             raises latency; no value is changed"
        )),
        None if found.end != End::TooNoisy => {
            lines.push("the present values are best here; no value is changed".to_owned());
        }
        None => {}
    }
    lines
}

/// One trial, for people.
pub(super) fn trial_line(trial: &Trial) -> String {
    let result = match &trial.result {
        RaceResult::Won => "won".to_owned(),
        RaceResult::Level => "not better".to_owned(),
        RaceResult::GuardRose(guard) => format!("refused, because p99 rose: {guard}"),
        RaceResult::Failed(error) => format!("cannot be measured: {error}"),
    };
    let Trial {
        key,
        from,
        to,
        gain,
        ..
    } = trial;
    match gain.pairs {
        0 => format!("{key} {from} -> {to}: {result}"),
        _ => format!("{key} {from} -> {to}: cost {gain}: {result}"),
    }
}
