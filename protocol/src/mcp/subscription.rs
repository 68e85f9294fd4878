//! `subscriptions/listen` (MCP 2026-07-28 basic/patterns/subscriptions), and the notifications of
//! changes that both eras share. The member for tasks belongs to the extension
//! `io.modelcontextprotocol/tasks` ("Task Status Notifications").

use super::about::write_array;
use super::era::Era;
use super::meta::SUBSCRIPTION_ID;
use super::resources::URI_BYTES_MAX;
use super::result::{Caching, ResultTrailer};
use crate::jsonrpc::{Id, Object, Value, encode};

/// The method of the first message of a subscription.
pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// A list that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// Of tools.
    Tools,
    /// Of prompts.
    Prompts,
    /// Of resources and templates.
    Resources,
}

impl ListKind {
    /// All of them.
    pub const ALL: [ListKind; 3] = [ListKind::Tools, ListKind::Prompts, ListKind::Resources];

    /// The list that a notification of this method is about.
    pub fn by_notification(method: &str) -> Option<ListKind> {
        let mut kinds = ListKind::ALL.into_iter();
        kinds.find(|kind| kind.notification() == method)
    }

    fn notification(self) -> &'static str {
        match self {
            ListKind::Tools => "notifications/tools/list_changed",
            ListKind::Prompts => "notifications/prompts/list_changed",
            ListKind::Resources => "notifications/resources/list_changed",
        }
    }

    /// The member of a filter that requests changes of this list.
    pub fn filter(self) -> &'static str {
        match self {
            ListKind::Tools => "toolsListChanged",
            ListKind::Prompts => "promptsListChanged",
            ListKind::Resources => "resourcesListChanged",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListKinds(u8);

impl ListKinds {
    /// The set as bits, to be kept outside of this process. A bit never changes its meaning.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with these bits. One that this release does not know stays as it is.
    pub const fn from_bits(bits: u8) -> ListKinds {
        ListKinds(bits)
    }

    /// Adds a list.
    pub fn insert(&mut self, kind: ListKind) {
        self.0 |= kind.bit();
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: ListKinds) {
        self.0 |= others.0;
    }

    /// Leaves those that are among `others`.
    pub fn retain(&mut self, others: ListKinds) {
        self.0 &= others.0;
    }

    /// Whether a list is among them.
    pub fn contains(self, kind: ListKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The changes that a client requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Lists.
    pub lists: ListKinds,
    /// Resources.
    pub uris: Vec<Box<str>>,
    /// Tasks, by their ids as the client wrote them.
    pub task_ids: Vec<Box<str>>,
}

/// How many names one filter may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterLimits {
    /// Resources.
    pub uris_max: usize,
    /// Tasks.
    pub task_ids_max: usize,
}

/// Why `subscriptions/listen` has unusable parameters (answered -32602).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No filter.
    #[error("subscriptions/listen needs params.notifications to be an object")]
    Missing,
    /// A member of another type.
    #[error("params.notifications.{member} must be {expected}")]
    WrongType {
        /// The member at fault.
        member: &'static str,
        /// The expected type.
        expected: &'static str,
    },
    /// More resources or tasks than one stream may have.
    #[error("params.notifications.{member} has {count}, more than the limit of {max}")]
    TooMany {
        /// The member at fault.
        member: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
}

impl Filter {
    /// Reads `params.notifications`, within `limits`.
    ///
    /// # Errors
    /// [`FilterError`] names the member at fault.
    pub fn read(params: Option<Value<'_>>, limits: FilterLimits) -> Result<Filter, FilterError> {
        let wanted = params
            .and_then(|params| params.as_object())
            .and_then(|params| params.get("notifications"))
            .and_then(|wanted| wanted.as_object())
            .ok_or(FilterError::Missing)?;
        let mut filter = Filter::default();
        for kind in ListKind::ALL {
            let (member, expected) = (kind.filter(), "a boolean");
            match wanted.optional(member).map(|value| value.as_bool()) {
                None | Some(Some(false)) => {}
                Some(Some(true)) => filter.lists.insert(kind),
                Some(None) => return Err(FilterError::WrongType { member, expected }),
            }
        }
        filter.uris = read_names(wanted, (URIS, "an array of URIs"), limits.uris_max)?;
        let tasks = (TASK_IDS, "an array of task ids");
        filter.task_ids = read_names(wanted, tasks, limits.task_ids_max)?;
        Ok(filter)
    }

    /// Appends the filter as the value of `notifications`.
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        let start = out.len();
        for kind in ListKind::ALL {
            if self.lists.contains(kind) {
                out.push(b',');
                encode::write_string(out, kind.filter());
                out.extend_from_slice(b":true");
            }
        }
        for (member, names) in [(URIS, &self.uris), (TASK_IDS, &self.task_ids)] {
            if !names.is_empty() {
                out.push(b',');
                encode::write_string(out, member);
                out.push(b':');
                write_array(out, names, |name, out| encode::write_string(out, name));
            }
        }
        if out.len() > start {
            // The first member needs no comma.
            out.remove(start);
        }
        out.push(b'}');
    }
}

/// The members of a filter that list names.
const URIS: &str = "resourceSubscriptions";
const TASK_IDS: &str = "taskIds";

/// Reads a member of a filter that is an array of names; each is kept once.
fn read_names(
    wanted: Object<'_>,
    (member, expected): (&'static str, &'static str),
    max: usize,
) -> Result<Vec<Box<str>>, FilterError> {
    let Some(names) = wanted.optional(member) else {
        return Ok(Vec::new());
    };
    let wrong = FilterError::WrongType { member, expected };
    let names = names.as_array().ok_or(wrong)?;
    let count = names.len();
    if count > max {
        return Err(FilterError::TooMany { member, count, max });
    }
    let mut read: Vec<Box<str>> = Vec::with_capacity(count);
    for name in names {
        let name = name.as_str().filter(|name| name.len() <= URI_BYTES_MAX);
        let name = name.ok_or(wrong)?;
        if !read.iter().any(|known| **known == *name) {
            read.push(name.into());
        }
    }
    Ok(read)
}

/// Writes the first message of a subscription: the accepted part of its filter.
pub fn write_acknowledged(out: &mut Vec<u8>, subscription: Id<'_>, filter: &Filter) {
    encode::begin_notification(out, ACKNOWLEDGED);
    out.extend_from_slice(br#"{"notifications":"#);
    filter.write(out);
    out.push(b',');
    write_subscription_meta(out, subscription);
    out.push(b'}');
    encode::end(out);
}

/// Writes that a list has changed, to a subscription or to a session.
pub fn write_list_changed(out: &mut Vec<u8>, kind: ListKind, subscription: Option<Id<'_>>) {
    encode::begin_notification(out, kind.notification());
    out.push(b'{');
    if let Some(subscription) = subscription {
        write_subscription_meta(out, subscription);
    }
    out.push(b'}');
    encode::end(out);
}

/// Writes that a resource has changed, to a subscription or to a session.
pub fn write_updated(out: &mut Vec<u8>, uri: &str, subscription: Option<Id<'_>>) {
    encode::begin_notification(out, "notifications/resources/updated");
    out.extend_from_slice(br#"{"uri":"#);
    encode::write_string(out, uri);
    if let Some(subscription) = subscription {
        out.push(b',');
        write_subscription_meta(out, subscription);
    }
    out.push(b'}');
    encode::end(out);
}

/// Writes the status of a task to a subscription. `members` are the members of the task as in
/// `tasks/get`, without braces.
pub fn write_task(out: &mut Vec<u8>, members: &[u8], subscription: Id<'_>) {
    encode::begin_notification(out, "notifications/tasks");
    out.push(b'{');
    out.extend_from_slice(members);
    out.push(b',');
    write_subscription_meta(out, subscription);
    out.push(b'}');
    encode::end(out);
}

/// Writes the last message of a subscription that the server ends.
pub fn write_ended(out: &mut Vec<u8>, subscription: Id<'_>, trailer: &ResultTrailer) {
    encode::begin_result(out, subscription);
    out.push(b'{');
    trailer.finish_with_meta(out, (Era::Modern, Caching::NotCacheable), |out| {
        encode::write_string(out, SUBSCRIPTION_ID);
        out.push(b':');
        encode::write_id(out, subscription);
    });
}

/// Writes the notification by which a server cancels a subscription, the only request that it may
/// cancel (MCP 2026-07-28 basic/patterns/cancellation).
pub fn write_torn_down(out: &mut Vec<u8>, subscription: Id<'_>) {
    encode::begin_notification(out, "notifications/cancelled");
    out.extend_from_slice(br#"{"requestId":"#);
    encode::write_id(out, subscription);
    out.push(b'}');
    encode::end(out);
}

fn write_subscription_meta(out: &mut Vec<u8>, subscription: Id<'_>) {
    out.extend_from_slice(br#""_meta":{"#);
    encode::write_string(out, SUBSCRIPTION_ID);
    out.push(b':');
    encode::write_id(out, subscription);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::{Decoder, JsonLimits};

    fn read(text: &str) -> Result<Filter, FilterError> {
        let mut decoder = Decoder::new(JsonLimits::default());
        let decoded = decoder.decode(text.as_bytes()).unwrap();
        let limits = FilterLimits {
            uris_max: 2,
            task_ids_max: 1,
        };
        Filter::read(Some(decoded.root()), limits)
    }

    #[test]
    fn null_in_a_filter_is_absence() {
        let nulls = concat!(
            r#"{"notifications":{"toolsListChanged":null,"promptsListChanged":true,"#,
            r#""resourceSubscriptions":null,"taskIds":null}}"#
        );
        let plain = r#"{"notifications":{"promptsListChanged":true}}"#;
        assert_eq!(read(nulls), read(plain));
        assert_eq!(read(r#"{"notifications":null}"#), Err(FilterError::Missing));
    }

    #[test]
    fn a_filter_comes_back_as_it_went() {
        for text in [
            "{}",
            r#"{"toolsListChanged":true}"#,
            r#"{"promptsListChanged":true,"resourcesListChanged":true}"#,
            r#"{"resourceSubscriptions":["a:b","c:d"]}"#,
            r#"{"toolsListChanged":true,"resourceSubscriptions":["a:b"]}"#,
            r#"{"taskIds":["t"]}"#,
            r#"{"resourceSubscriptions":["a:b"],"taskIds":["t"]}"#,
        ] {
            let filter = read(&format!(r#"{{"notifications":{text}}}"#)).unwrap();
            let mut out = Vec::new();
            filter.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn an_error_names_the_fault_of_a_filter() {
        assert_eq!(read("{}"), Err(FilterError::Missing));
        for (member, names, count, max) in [
            (URIS, r#"["a","b","c"]"#, 3, 2),
            (TASK_IDS, r#"["a","a"]"#, 2, 1),
        ] {
            let refusal = read(&format!(r#"{{"notifications":{{"{member}":{names}}}}}"#));
            assert_eq!(refusal, Err(FilterError::TooMany { member, count, max }));
        }
        for member in [
            r#""toolsListChanged":1"#,
            r#""resourceSubscriptions":"a""#,
            r#""resourceSubscriptions":[1]"#,
            r#""taskIds":{}"#,
            r#""taskIds":[null]"#,
        ] {
            let refusal = read(&format!(r#"{{"notifications":{{{member}}}}}"#));
            assert!(
                matches!(refusal, Err(FilterError::WrongType { .. })),
                "{member}"
            );
        }
    }

    #[test]
    fn every_message_has_the_id_of_its_subscription_with_its_type() {
        let trailer = ResultTrailer::new(br#"{"name":"n","version":"1"}"#);
        for (id, value) in [
            (Id::Integer(7), serde_json::json!(7)),
            (Id::String("7"), serde_json::json!("7")),
        ] {
            let check = |out: &[u8], of: &str| {
                let message: serde_json::Value = serde_json::from_slice(out).unwrap();
                assert_eq!(message[of]["_meta"][SUBSCRIPTION_ID], value, "{message}");
            };
            let mut out = Vec::new();
            write_acknowledged(&mut out, id, &Filter::default());
            check(&out, "params");
            out.clear();
            write_list_changed(&mut out, ListKind::Tools, Some(id));
            check(&out, "params");
            out.clear();
            write_updated(&mut out, "a:b", Some(id));
            check(&out, "params");
            out.clear();
            write_task(&mut out, br#""taskId":"t""#, id);
            check(&out, "params");
            out.clear();
            write_ended(&mut out, id, &trailer);
            check(&out, "result");
            let ended: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(ended["result"]["resultType"], "complete");
        }
    }
}
