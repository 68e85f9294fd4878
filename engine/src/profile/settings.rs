//! The knobs of a profile one by one, for people.

use super::Profile;
use super::error::ProfileError;
use super::reference::{describe, value_text};

/// The most keys that the error for an unknown key names.
const NEAR_MAX: usize = 8;

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

    /// The reason for the knob with this key, its range and its default, as in the reference.
    ///
    /// ```
    /// let text = corelane::Profile::explain("server.backlog").expect("there is such a knob");
    /// assert!(text.contains("Allowed: 1 to 65_535."));
    /// ```
    ///
    /// # Errors
    /// There is no such knob: the error names those that are near.
    pub fn explain(key: &str) -> Result<String, ProfileError> {
        let defaults = Profile::default();
        let shared = key.strip_prefix("core.").unwrap_or(key);
        let Some((section, at)) = defaults.find(shared) else {
            return Err(ProfileError::UnknownKnob {
                key: key.to_owned(),
                near: near(&defaults, shared),
            });
        };
        let values = toml::Table::try_from(&defaults).unwrap_or_default();
        let knob = &section.knobs()[at];
        let value = values.get(section.name()).and_then(|it| it.get(knob.name));
        let mut text = format!("[{}]\n", section.name());
        describe(&mut text, knob, value);
        Ok(text)
    }
}

/// The keys of knobs with a similar name, or else those of the section, or else all sections.
fn near(defaults: &Profile, key: &str) -> String {
    let (section, knob) = key.split_once('.').unwrap_or((key, key));
    let sections = defaults.sections();
    let keys_where = |is_near: &dyn Fn(&str, &str) -> bool| {
        let keys = sections.iter().flat_map(|it| {
            let near = it
                .knobs()
                .iter()
                .filter(|knob| is_near(it.name(), knob.name));
            near.map(|knob| format!("{}.{}", it.name(), knob.name))
        });
        keys.take(NEAR_MAX).collect::<Vec<_>>()
    };
    let word = knob
        .split('_')
        .max_by_key(|word| word.len())
        .unwrap_or(knob);
    let mut near = keys_where(&|_, name| name.contains(word) || word.contains(name));
    if near.is_empty() {
        near = keys_where(&|name, _| name == section);
    }
    if near.is_empty() {
        near.extend(sections.iter().map(|it| format!("{}.*", it.name())));
    }
    near.join(", ")
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
        for (key, near) in [
            ("server.backlogs", "near it are server.backlog"),
            (
                "server.nothing",
                "server.listen, server.stdio, server.endpoint",
            ),
            ("backlog", "server.backlog"),
            ("calls.idle_timeout", "timeout"),
            ("nothing", "server.*, unix.*, ring.*"),
            ("", "server.listen"),
        ] {
            let error = Profile::explain(key).expect_err(key).to_string();
            assert!(
                error.contains(&format!("{key:?}")) && error.contains(near),
                "{error}"
            );
        }
    }
}
