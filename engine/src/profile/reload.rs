//! The effect of another profile on a server that runs, knob by knob.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Profile;
pub use super::knobs::OnReload;

/// A knob whose value differs between two profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnobChange {
    /// Its key, as [`Profile::settings`] has it.
    pub key: String,
    /// The value before, in TOML; none if it was not set.
    pub old: Option<String>,
    /// The value after, in TOML; none if it is not set.
    pub new: Option<String>,
    /// The effect of a reload on it.
    pub on_reload: OnReload,
}

impl Profile {
    /// The effect of another value of the knob with this key on a server that runs. A key without
    /// a way of its own, such as the role of a core, needs a restart.
    ///
    /// ```
    /// use corelane::Profile;
    /// use corelane::profile::OnReload;
    ///
    /// assert_eq!(Profile::on_reload("sessions.per_shard_max"), OnReload::Live);
    /// assert_eq!(Profile::on_reload("core 3 ring.buffer_count"), OnReload::Restart);
    /// ```
    #[must_use]
    pub fn on_reload(key: &str) -> OnReload {
        let of_core = key.strip_prefix("core ");
        let shared = of_core.and_then(|rest| rest.split_once(' '));
        let shared = shared.map_or(key, |(_, key)| key);
        let defaults = Profile::default();
        let found = defaults.find(shared);
        let declared = found.and_then(|(section, at)| section.knobs()[at].on_reload);
        declared.unwrap_or(OnReload::Restart)
    }

    /// The knobs with other values in `next`, in the order of the reference.
    ///
    /// ```
    /// let mut next = corelane::Profile::default();
    /// next.server.backlog = 100;
    /// let changes = corelane::Profile::default().changes_to(&next);
    /// assert_eq!(changes[0].key, "server.backlog");
    /// assert_eq!(changes[0].new.as_deref(), Some("100"));
    /// ```
    #[must_use]
    pub fn changes_to(&self, next: &Profile) -> Vec<KnobChange> {
        let (before, after) = (self.settings(), next.settings());
        let keys = after.iter().chain(&before).map(|(key, _)| key);
        let mut seen = BTreeSet::new();
        let mut changes = Vec::new();
        for key in keys.filter(|key| seen.insert(*key)) {
            let (old, new) = (value_of(&before, key), value_of(&after, key));
            if old != new {
                changes.push(KnobChange {
                    on_reload: Profile::on_reload(key),
                    key: key.clone(),
                    old,
                    new,
                });
            }
        }
        changes
    }

    /// A table in Markdown of all knobs by their ways, see [`OnReload`]: a row for each section.
    #[must_use]
    pub fn reload_table() -> String {
        let mut text = "| section | live | next | restart |\n|---|---|---|---|\n".to_owned();
        for section in Profile::default().sections() {
            let of = |way| {
                let knobs = section.knobs().iter();
                let knobs = knobs.filter(|knob| knob.on_reload == Some(way));
                let names: Vec<String> = knobs.map(|knob| format!("`{}`", knob.name)).collect();
                names.join(", ")
            };
            let (live, next) = (of(OnReload::Live), of(OnReload::Next));
            let restart = of(OnReload::Restart);
            let _ = writeln!(
                text,
                "| `{}` | {live} | {next} | {restart} |",
                section.name()
            );
        }
        text
    }
}

fn value_of(settings: &[(String, Option<String>)], key: &str) -> Option<String> {
    let found = settings.iter().find(|(other, _)| other == key)?;
    found.1.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/reload.md` as it is in the repository.
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reload.md");
    /// The lines of the page around the table.
    const BEGIN: &str = "<!-- the table begins: written from engine/src/profile -->\n\n";
    const END: &str = "\n<!-- the table ends -->\n";

    #[test]
    fn each_knob_declares_the_way_in_which_it_is_reloaded() {
        for section in Profile::default().sections() {
            for knob in section.knobs() {
                let (section, knob, way) = (section.name(), knob.name, knob.on_reload);
                assert!(
                    way.is_some(),
                    "{section}.{knob} has no way: add live, next or restart behind its range, see \
                     OnReload in engine/src/profile/knobs.rs"
                );
            }
        }
    }

    #[test]
    fn the_table_of_the_reload_page_is_the_one_that_the_declarations_make() {
        let kept = std::fs::read_to_string(PAGE).expect("the page is there");
        let (head, rest) = kept.split_once(BEGIN).expect("the table begins");
        let (_, tail) = rest.split_once(END).expect("the table ends");
        let text = format!("{head}{BEGIN}{}{END}{tail}", Profile::reload_table());
        if std::env::var_os("CORELANE_WRITE_REFERENCE").is_some() {
            std::fs::write(PAGE, &text).expect("the page can be written");
        }
        let kept = std::fs::read_to_string(PAGE).expect("the page is there");
        assert!(
            kept == text,
            "docs/reload.md differs from the declarations of engine/src/profile: write it with \
             CORELANE_WRITE_REFERENCE=1 cargo test -p corelane --lib reload_page"
        );
    }

    #[test]
    fn changes_are_named_with_both_values_and_their_way() {
        let before = "[ring]\n[[core]]\nid = 1\nbudget.request_time_us = 50\n";
        let after = "server.allowed_hosts = [\"a\"]\nlog.level = \"debug\"\n\
                     lanes.control = 65\n[[core]]\nid = 2\nring.buffer_count = 64\n";
        let parsed = |text| Profile::from_toml(text).expect(text);
        let changes = parsed(before).changes_to(&parsed(after));
        let found = changes.iter().map(|it| {
            let values = (it.old.as_deref(), it.new.as_deref());
            (it.key.as_str(), values, it.on_reload)
        });
        let expected = [
            (
                "server.allowed_hosts",
                (Some("[]"), Some("[\"a\"]")),
                OnReload::Live,
            ),
            ("lanes.control", (Some("64"), Some("65")), OnReload::Restart),
            (
                "log.level",
                (Some("\"info\""), Some("\"debug\"")),
                OnReload::Live,
            ),
            (
                "core 2 ring.buffer_count",
                (None, Some("64")),
                OnReload::Restart,
            ),
            (
                "core 1 budget.request_time_us",
                (Some("50"), None),
                OnReload::Live,
            ),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert!(parsed(after).changes_to(&parsed(after)).is_empty());
    }
}
