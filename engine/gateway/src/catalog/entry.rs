//! One entry of a list, member by member, with the text of each value as the upstream wrote it.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An entry: a tool, a prompt, a resource or a template. No two members have one name.
#[derive(Debug)]
pub struct Entry {
    members: Vec<(Box<str>, Box<RawValue>)>,
}

/// Why an entry is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It has no name or URI.
    #[error("an entry has no text in {0:?}")]
    NoKey(&'static str),
    /// The name of its upstream cannot be put into its URI.
    #[error("the URI {0:?} is not absolute, so it cannot have the name of its upstream")]
    Uri(Box<str>),
    /// A member that is replaced has another type.
    #[error("the entry {0:?} has no object in \"inputSchema\"")]
    Schema(Box<str>),
}

impl Entry {
    /// The text of a member; none if it is absent or no string.
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// The JSON of a member.
    pub fn raw(&self, name: &str) -> Option<&RawValue> {
        let mut members = self.members.iter();
        let (_, value) = members.find(|(member, _)| &**member == name)?;
        Some(value)
    }

    /// Sets a member to a JSON value: in its place, or at the end.
    pub(super) fn set(&mut self, name: &str, value: &serde_json::Value) {
        if let Ok(value) = serde_json::value::to_raw_value(value) {
            self.set_raw(name, value);
        }
    }

    /// The same with the text of the value.
    pub(super) fn set_raw(&mut self, name: &str, value: Box<RawValue>) {
        let mut members = self.members.iter_mut();
        match members.find(|(member, _)| &**member == name) {
            Some((_, of)) => *of = value,
            None => self.members.push((name.into(), value)),
        }
    }

    /// Removes a member.
    pub(super) fn remove(&mut self, name: &str) {
        self.members.retain(|(member, _)| &**member != name);
    }

    /// The entry as JSON.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (place, (name, value)) in self.members.iter().enumerate() {
            if place > 0 {
                json.push(',');
            }
            // The text of a name is always valid.
            json.push_str(&serde_json::Value::from(&**name).to_string());
            json.push(':');
            json.push_str(value.get());
        }
        json.push('}');
        json
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Entry;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let mut members: Vec<(Box<str>, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<Box<str>, Box<RawValue>>()? {
                    // Two readers could read two different ones.
                    if members.iter().any(|(other, _)| *other == name) {
                        return Err(de::Error::custom(format!(
                            "the member {name:?} is there twice"
                        )));
                    }
                    members.push((name, value));
                }
                Ok(Entry { members })
            }
        }

        deserializer.deserialize_map(Members)
    }
}
