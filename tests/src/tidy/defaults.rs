//! A default of a tuning value stands in the profile, and there alone.

use super::source::{Finding, Source};

/// Where the values of a profile end up.
const FOLDERS: &[&str] = &["engine/src/", "engine/io/src/"];
/// The profile itself.
const PROFILE: &[&str] = &["engine/src/profile.rs", "engine/src/profile/"];
/// Types with defaults of their own, and why.
const EXCEPTIONS: &[(&str, &str)] = &[(
    "DirectoryLimits",
    "limits of one directory, which its author gives with it and no profile has",
)];

/// No type of limits or settings outside of the profile has a `Default` that is written out: it
/// would be a second one, and the two may differ.
#[must_use]
pub fn defaults_are_the_profiles(source: &Source) -> Vec<Finding> {
    let path = source.path.as_str();
    let is_of = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    if !is_of(FOLDERS) || is_of(PROFILE) {
        return Vec::new();
    }
    let lines = source.production.lines().enumerate();
    let findings = lines.filter_map(|(index, line)| {
        let name = line.trim_start().strip_prefix("impl Default for ")?;
        let name = name.split([' ', '<', '{']).next()?;
        let is_tuned = name.ends_with("Limits") || name.ends_with("Settings");
        let is_exception = EXCEPTIONS.iter().any(|(excepted, _)| *excepted == name);
        (is_tuned && !is_exception).then(|| {
            let fault =
                format!("{name} has a default beside the profile's; give it as an argument");
            Finding::at(source, index + 1, fault)
        })
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::defaults_are_the_profiles;
    use crate::tidy::Source;

    fn check(path: &str, code: &str, faults: usize) {
        let found = defaults_are_the_profiles(&Source::new(path, code));
        assert_eq!(found.len(), faults, "{path}: {code}: {found:?}");
    }

    #[test]
    fn accepts_defaults_of_the_profile_and_of_what_is_not_tuned() {
        check(
            "engine/src/profile/sections.rs",
            "impl Default for LaneLimits {",
            0,
        );
        check("engine/io/src/chunk.rs", "impl Default for ChunkPool {", 0);
        check(
            "engine/src/files/limits.rs",
            "impl Default for DirectoryLimits {",
            0,
        );
        check(
            "engine/io/src/lanes.rs",
            "// impl Default for LaneLimits {",
            0,
        );
        let of_tests = "#[cfg(test)]\nmod tests {\nimpl Default for LaneLimits {}\n}";
        check("engine/io/src/lanes.rs", of_tests, 0);
    }

    #[test]
    fn finds_defaults_beside_those_of_the_profile() {
        check("engine/io/src/lanes.rs", "impl Default for LaneLimits {", 1);
        check(
            "engine/src/mcp/calls.rs",
            "mod a {\n    impl Default for CallLimits {",
            1,
        );
        check(
            "engine/io/src/ring/open.rs",
            "impl Default for RingSettings {",
            1,
        );
    }
}
