//! The knobs of a profile one by one, for people.

use super::Profile;
use super::error::ProfileError;
use super::knobs::Section;
use super::reference::{describe, section_text, value_text};

/// The most keys that the error for an unknown key names.
const NEAR_MAX: usize = 3;

impl Profile {
    /// Each knob as `section.name` with its value in TOML, in the order of the reference; those of
    /// a `[[core]]` section follow as `core ID section.name`. A knob without a value has none.
    ///
    /// ```
    /// let settings = corelane::Profile::default().settings();
    /// let backlog = ("server.backlog".to_owned(), Some("4096".to_owned()));
    /// assert!(settings.contains(&backlog));
    /// ```
    #[must_use]
    pub fn settings(&self) -> Vec<(String, Option<String>)> {
        let values = toml::Table::try_from(self).unwrap_or_default();
        let mut settings = Vec::new();
        for section in self.sections() {
            let values = values.get(section.name());
            for knob in section.knobs() {
                let value = values.and_then(|values| values.get(knob.name));
                let key = format!("{}.{}", section.name(), knob.name);
                settings.push((key, value.map(value_text)));
            }
        }
        let cores = values.get("core").and_then(toml::Value::as_array);
        for core in cores
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_table)
        {
            let id = core.get("id").map(value_text).unwrap_or_default();
            for (section, values) in core {
                if let toml::Value::String(_) = values {
                    settings.push((format!("core {id} {section}"), Some(value_text(values))));
                }
                let values = values.as_table().into_iter().flatten();
                settings.extend(values.map(|(knob, value)| {
                    (
                        format!("core {id} {section}.{knob}"),
                        Some(value_text(value)),
                    )
                }));
            }
        }
        settings
    }

    /// The reason for the knob with this key, its range and its default, as in the reference; of a
    /// section, all of its knobs.
    ///
    /// ```
    /// let text = corelane::Profile::explain("server.backlog").expect("there is such a knob");
    /// assert!(text.contains("Allowed: 1 to 65_535."));
    /// ```
    ///
    /// # Errors
    /// There is no such knob or section: the error names the knobs with the nearest names.
    pub fn explain(key: &str) -> Result<String, ProfileError> {
        let defaults = Profile::default();
        let values = toml::Table::try_from(&defaults).unwrap_or_default();
        let shared = key.strip_prefix("core.").unwrap_or(key);
        if let Some((_, text)) = OF_CORES.iter().find(|(own, _)| *own == key) {
            return Ok((*text).to_owned());
        }
        let of_name = |it: &&dyn Section| it.name() == shared;
        if let Some(section) = defaults.sections().into_iter().find(of_name) {
            return Ok(section_text(section, &values));
        }
        let Some((section, at)) = defaults.find(shared) else {
            return Err(ProfileError::UnknownKnob {
                key: key.to_owned(),
                near: near(&defaults, shared),
            });
        };
        let knob = &section.knobs()[at];
        let value = values.get(section.name()).and_then(|it| it.get(knob.name));
        let mut text = format!("[{}]\n", section.name());
        describe(&mut text, knob, value);
        Ok(text)
    }
}

/// The keys of a `[[core]]` section that are no knobs.
const OF_CORES: &[(&str, &str)] = &[
    (
        "core",
        "[[core]]\n# Different values on one core: its id, its role, and knobs of the sections \
         ring, executor and\n# budget, such as ring.buffer_count = 64. One section for each such \
         core.\n",
    ),
    (
        "core.id",
        "[[core]]\n# The core, as the kernel numbers it. Allowed: 0 to 1023.\n# id =\n",
    ),
    (
        "core.role",
        "[[core]]\n# The work of the server on the core: \"shard\"; \"control\" for the threads \
         that supervise and the\n# tokio runtime; \"offload\" for those of blocking work; \
         \"none\" leaves the core to other programs.\nrole = \"shard\"\n",
    ),
];

/// The keys of the knobs with the nearest names, the nearest first.
fn near(defaults: &Profile, key: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let mut keys = Vec::new();
    for section in defaults.sections() {
        for knob in section.knobs() {
            let full = format!("{}.{}", section.name(), knob.name);
            // A name alone is enough, and the section may be wrong.
            let score = strsim::jaro_winkler(key, &full).max(strsim::jaro_winkler(name, knob.name));
            keys.push((score, full));
        }
    }
    keys.sort_by(|one, other| other.0.total_cmp(&one.0));
    let nearest = keys.into_iter().take(NEAR_MAX).map(|(_, key)| key);
    nearest.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::profile::Profile;

    #[test]
    fn settings_are_all_knobs_and_those_of_cores() {
        let defaults = Profile::default().settings();
        let text = "[server]\nshards = 2\nbacklog = 9\n[[core]]\nid = 1\nrole = \"none\"\n\
                    [[core]]\nid = 3\nbudget.lane_batch = 8";
        let mut settings = Profile::from_toml(text).expect("valid").settings();
        let core = settings.pop().expect("one of the core");
        let expected = ("core 3 budget.lane_batch".to_owned(), Some("8".to_owned()));
        assert_eq!(core, expected);
        let role = settings.pop().expect("one of the other core");
        assert_eq!(
            role,
            ("core 1 role".to_owned(), Some("\"none\"".to_owned()))
        );
        assert_eq!(settings.len(), defaults.len());
        let changed = settings
            .iter()
            .zip(&defaults)
            .filter(|(own, other)| own != other);
        let changed: Vec<_> = changed.map(|(own, _)| own.clone()).collect();
        let two = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        assert_eq!(
            changed,
            [two("server.shards", "2"), two("server.backlog", "9")]
        );
        assert!(defaults.contains(&("server.shards".to_owned(), None)));
    }

    #[test]
    fn every_knob_is_explained_and_others_are_not() {
        for (key, value) in Profile::default().settings() {
            let text = Profile::explain(&key).expect("a knob");
            let (_, name) = key.split_once('.').expect("a section and a name");
            let last = match value {
                Some(value) => format!("\n{name} = {value}\n"),
                None => format!("\n# {name} =\n"),
            };
            assert!(text.starts_with('[') && text.ends_with(&last), "{text}");
        }
        assert_eq!(
            Profile::explain("core.budget.lane_batch").ok(),
            Profile::explain("budget.lane_batch").ok()
        );
        let section = Profile::explain("overload").expect("a section");
        for line in ["[overload]", "connections_max = 0", "loop_delay_ms = 500"] {
            assert!(section.lines().any(|it| it == line), "{line}: {section}");
        }
        for (key, words) in [
            ("core", "[[core]]"),
            ("core.id", "0 to 1023"),
            ("core.role", "role = \"shard\""),
        ] {
            let text = Profile::explain(key).expect("a key of [[core]]");
            assert!(text.contains(words), "{key}: {text}");
        }
        for (key, near) in [
            ("server.backlogs", "near it are server.backlog"),
            ("backlog", "near it are server.backlog"),
            (
                "overload.conections_max",
                "near it are overload.connections_max",
            ),
            ("conections_max", "near it are overload.connections_max"),
            ("calls.idle_timeout", "timeout_ms"),
            ("", "near it are "),
        ] {
            let error = Profile::explain(key).expect_err(key).to_string();
            assert!(
                error.contains(&format!("{key:?}")) && error.contains(near),
                "{error}"
            );
        }
    }
}
