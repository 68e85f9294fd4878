//! Which methods exist, per era.
//!
//! A method is looked up in its message's era and nowhere else: `ping` in a modern envelope is
//! as unknown as `server/discover` in a legacy session.

use super::era::Era;

/// A request a client can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `server/discover` (modern).
    Discover,
    /// `initialize` (legacy).
    Initialize,
    /// `ping` (legacy).
    Ping,
    /// `logging/setLevel` (legacy).
    SetLevel,
    /// `tools/list`.
    ToolsList,
    /// `tools/call`.
    ToolsCall,
    /// `resources/list`.
    ResourcesList,
    /// `resources/templates/list`.
    TemplatesList,
    /// `resources/read`.
    ResourcesRead,
    /// `resources/subscribe` (legacy).
    Subscribe,
    /// `resources/unsubscribe` (legacy).
    Unsubscribe,
    /// `prompts/list`.
    PromptsList,
    /// `prompts/get`.
    PromptsGet,
    /// `completion/complete`.
    Complete,
    /// `subscriptions/listen` (modern).
    Listen,
    /// `tasks/get`.
    TasksGet,
    /// `tasks/cancel`.
    TasksCancel,
    /// `tasks/update` (modern).
    TasksUpdate,
    /// `tasks/result` (legacy).
    TasksResult,
    /// `tasks/list` (legacy).
    TasksList,
}

const BOTH: &[Era] = &[Era::Legacy, Era::Modern];

/// The table: name, method, eras it exists in.
const METHODS: &[(&str, Method, &[Era])] = &[
    ("tools/call", Method::ToolsCall, BOTH),
    ("tools/list", Method::ToolsList, BOTH),
    ("resources/read", Method::ResourcesRead, BOTH),
    ("resources/list", Method::ResourcesList, BOTH),
    ("resources/templates/list", Method::TemplatesList, BOTH),
    ("prompts/get", Method::PromptsGet, BOTH),
    ("prompts/list", Method::PromptsList, BOTH),
    ("completion/complete", Method::Complete, BOTH),
    ("tasks/get", Method::TasksGet, BOTH),
    ("tasks/cancel", Method::TasksCancel, BOTH),
    ("tasks/update", Method::TasksUpdate, &[Era::Modern]),
    ("tasks/result", Method::TasksResult, &[Era::Legacy]),
    ("tasks/list", Method::TasksList, &[Era::Legacy]),
    ("resources/subscribe", Method::Subscribe, &[Era::Legacy]),
    ("resources/unsubscribe", Method::Unsubscribe, &[Era::Legacy]),
    ("subscriptions/listen", Method::Listen, &[Era::Modern]),
    ("server/discover", Method::Discover, &[Era::Modern]),
    ("initialize", Method::Initialize, &[Era::Legacy]),
    ("ping", Method::Ping, &[Era::Legacy]),
    ("logging/setLevel", Method::SetLevel, &[Era::Legacy]),
];

impl Method {
    /// The method called `name` in `era`.
    pub fn lookup(era: Era, name: &str) -> Option<Method> {
        METHODS
            .iter()
            .find(|(known, _, eras)| *known == name && eras.contains(&era))
            .map(|(_, method, _)| *method)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        let row = METHODS.iter().find(|(_, method, _)| *method == self);
        row.map_or("", |(name, _, _)| name)
    }

    /// The method with this number, which is its place in the enumeration.
    pub fn by_number(number: u8) -> Option<Method> {
        let mut methods = METHODS.iter().map(|(_, method, _)| *method);
        methods.find(|method| *method as u8 == number)
    }

    /// Whether the method is about a task that exists.
    pub fn is_of_tasks(self) -> bool {
        matches!(
            self,
            Method::TasksGet
                | Method::TasksCancel
                | Method::TasksUpdate
                | Method::TasksResult
                | Method::TasksList
        )
    }

    /// The member of `params` that `Mcp-Name` repeats (MCP 2026-07-28 basic/transports), if any.
    pub fn name_member(self) -> Option<&'static str> {
        match self {
            Method::ToolsCall | Method::PromptsGet => Some("name"),
            Method::ResourcesRead => Some("uri"),
            Method::TasksGet | Method::TasksCancel | Method::TasksUpdate => Some("taskId"),
            Method::Discover
            | Method::Initialize
            | Method::Ping
            | Method::SetLevel
            | Method::ToolsList
            | Method::ResourcesList
            | Method::TemplatesList
            | Method::Subscribe
            | Method::Unsubscribe
            | Method::PromptsList
            | Method::TasksResult
            | Method::TasksList
            | Method::Complete
            | Method::Listen => None,
        }
    }
}

/// A notification a client can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotificationMethod {
    /// `notifications/initialized` (legacy).
    Initialized,
    /// `notifications/cancelled`.
    Cancelled,
}

impl NotificationMethod {
    /// The notification called `name` in `era`; an unknown one is ignored by its receiver.
    pub fn lookup(era: Era, name: &str) -> Option<NotificationMethod> {
        match (era, name) {
            (Era::Legacy, "notifications/initialized") => Some(NotificationMethod::Initialized),
            (_, "notifications/cancelled") => Some(NotificationMethod::Cancelled),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_exists_only_in_its_own_eras() {
        for (name, legacy, modern) in [
            ("tools/call", true, true),
            ("tools/list", true, true),
            ("resources/read", true, true),
            ("prompts/get", true, true),
            ("completion/complete", true, true),
            ("resources/subscribe", true, false),
            ("subscriptions/listen", false, true),
            ("server/discover", false, true),
            ("initialize", true, false),
            ("ping", true, false),
            ("logging/setLevel", true, false),
            ("tasks/get", true, true),
            ("tasks/update", false, true),
            ("tasks/result", true, false),
            ("tasks/list", true, false),
            ("unknown/method", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                Method::lookup(Era::Legacy, name).is_some(),
                legacy,
                "{name}"
            );
            assert_eq!(
                Method::lookup(Era::Modern, name).is_some(),
                modern,
                "{name}"
            );
        }
    }
}
