//! Names that look like other names, so that a reader takes one for the other.
//!
//! Two names look alike if they differ by the case of letters only, or by letters that are
//! confusable (Unicode Technical Standard 39, section 4).

use std::collections::HashMap;

use unicode_security::skeleton;

/// The names of one list, each different from all others for a reader.
#[derive(Clone, Debug, Default)]
pub struct DistinctNames(HashMap<(Form, String), Box<str>, foldhash::fast::RandomState>);

/// The ways in which two names may look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// In lower case.
    Lower,
    /// With one letter for all that are confusable.
    Skeleton,
    /// Both.
    LowerSkeleton,
}

impl DistinctNames {
    /// Adds a name, or returns the name that it looks like.
    ///
    /// # Errors
    /// The name that it looks like, or is.
    ///
    /// ```
    /// use corelane_guard::lookalike::DistinctNames;
    ///
    /// let mut names = DistinctNames::default();
    /// assert_eq!(names.add("send_mail"), Ok(()));
    /// assert_eq!(names.add("Send_Mail"), Err("send_mail".into()));
    /// assert_eq!(names.add("s\u{435}nd_mail"), Err("send_mail".into()));
    /// ```
    pub fn add(&mut self, name: &str) -> Result<(), Box<str>> {
        let lower = name.to_lowercase();
        let forms = [
            (Form::Skeleton, skeleton(name).collect()),
            (Form::LowerSkeleton, skeleton(&lower).collect()),
            (Form::Lower, lower),
        ];
        if let Some(other) = forms.iter().find_map(|form| self.0.get(form)) {
            return Err(other.clone());
        }
        self.0.extend(forms.map(|form| (form, name.into())));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::DistinctNames;

    #[test]
    fn names_that_look_alike_are_found() {
        for (one, other) in [
            ("get", "GET"),
            ("get_1", "get_l"),
            ("get_I", "get_l"),
            ("pay0", "payO"),
            ("paypal", "p\u{430}ypal"),
            ("STRASSE", "strasse"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("modern", "modem"),
            ("PAY", "P\u{391}Y"),
        ] {
            let mut names = DistinctNames::default();
            assert_eq!(names.add(one), Ok(()));
            assert_eq!(names.add(other), Err(one.into()), "{one} {other}");
        }
    }

    #[test]
    fn numbered_and_usual_names_are_different() {
        let mut names = DistinctNames::default();
        for number in 0..2000 {
            assert_eq!(names.add(&format!("tool_{number}")), Ok(()));
            assert_eq!(names.add(&format!("t{number:04}")), Ok(()));
        }
        for name in [
            "add", "and", "list", "lists", "get_user", "getUser", "a", "b", "o", "l",
        ] {
            assert_eq!(names.add(name), Ok(()), "{name}");
        }
    }
}
