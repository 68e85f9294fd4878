//! The definition of a schema that a message must fit: one table for each family of revisions.
//!
//! The names are those of the schemas. The tables of the legacy era also have names that exist in
//! later revisions only: the schema in force decides whether they exist.

use super::official::Revision;

/// The definitions of a family.
#[derive(Debug)]
pub(super) struct Definitions {
    /// Any notification, before its own definition.
    pub(super) notification: &'static str,
    /// Any request of the server, before its own definition.
    pub(super) request: &'static str,
    /// Any response with a result, before the definition of the result.
    pub(super) response: &'static str,
    /// Any response with an error.
    pub(super) error: &'static str,
    /// A result of a method that has none of its own.
    pub(super) result: &'static str,
    /// Notifications of the server by method.
    pub(super) notifications: &'static [(&'static str, &'static str)],
    /// Requests of the server by method.
    pub(super) requests: &'static [(&'static str, &'static str)],
    /// Results by the method of the request.
    pub(super) results: &'static [(&'static str, &'static str)],
    /// Results of a special type.
    pub(super) other_results: &'static [OtherResult],
    /// The `resultType` of a plain result, if the family has that member.
    pub(super) result_type: Option<&'static str>,
    /// Whole responses by error code, beside [`Definitions::error`].
    pub(super) errors: &'static [(i64, &'static str)],
}

/// A result that replaces the plain one of some methods.
#[derive(Debug)]
pub(super) struct OtherResult {
    /// The member of the result that shows it.
    pub(super) member: &'static str,
    /// The text that this member has, if it has to.
    pub(super) text: Option<&'static str>,
    /// The methods that may have such a result.
    pub(super) methods: &'static [&'static str],
    /// Its definition.
    pub(super) definition: &'static str,
}

impl Definitions {
    /// The table for a revision.
    pub(super) fn of(revision: Revision) -> &'static Definitions {
        match revision {
            Revision::November2024 | Revision::March2025 | Revision::June2025 => &OLD,
            Revision::November2025 => &LEGACY,
            Revision::July2026 => &MODERN,
        }
    }
}

/// The definition of `key`.
pub(super) fn named<K: PartialEq>(table: &[(K, &'static str)], key: &K) -> Option<&'static str> {
    let found = table.iter().find(|(name, _)| name == key);
    found.map(|(_, definition)| *definition)
}

/// The notifications of a server of the legacy era.
const LEGACY_NOTIFICATIONS: &[(&str, &str)] = &[
    ("notifications/cancelled", "CancelledNotification"),
    ("notifications/progress", "ProgressNotification"),
    ("notifications/message", "LoggingMessageNotification"),
    (
        "notifications/resources/updated",
        "ResourceUpdatedNotification",
    ),
    (
        "notifications/resources/list_changed",
        "ResourceListChangedNotification",
    ),
    (
        "notifications/tools/list_changed",
        "ToolListChangedNotification",
    ),
    (
        "notifications/prompts/list_changed",
        "PromptListChangedNotification",
    ),
    ("notifications/tasks/status", "TaskStatusNotification"),
    (
        "notifications/elicitation/complete",
        "ElicitationCompleteNotification",
    ),
];

/// The requests of a server of the legacy era.
const LEGACY_REQUESTS: &[(&str, &str)] = &[
    ("ping", "PingRequest"),
    ("sampling/createMessage", "CreateMessageRequest"),
    ("roots/list", "ListRootsRequest"),
    ("elicitation/create", "ElicitRequest"),
    ("tasks/get", "GetTaskRequest"),
    ("tasks/result", "GetTaskPayloadRequest"),
    ("tasks/cancel", "CancelTaskRequest"),
    ("tasks/list", "ListTasksRequest"),
];

/// The results of a server of the legacy era.
const LEGACY_RESULTS: &[(&str, &str)] = &[
    ("initialize", "InitializeResult"),
    ("ping", "EmptyResult"),
    ("logging/setLevel", "EmptyResult"),
    ("resources/subscribe", "EmptyResult"),
    ("resources/unsubscribe", "EmptyResult"),
    ("tools/list", "ListToolsResult"),
    ("tools/call", "CallToolResult"),
    ("resources/list", "ListResourcesResult"),
    ("resources/templates/list", "ListResourceTemplatesResult"),
    ("resources/read", "ReadResourceResult"),
    ("prompts/list", "ListPromptsResult"),
    ("prompts/get", "GetPromptResult"),
    ("completion/complete", "CompleteResult"),
    ("tasks/get", "GetTaskResult"),
    ("tasks/result", "GetTaskPayloadResult"),
    ("tasks/cancel", "CancelTaskResult"),
    ("tasks/list", "ListTasksResult"),
];

/// 2024-11-05 to 2025-06-18.
static OLD: Definitions = Definitions {
    notification: "JSONRPCNotification",
    request: "JSONRPCRequest",
    response: "JSONRPCResponse",
    error: "JSONRPCError",
    result: "Result",
    notifications: LEGACY_NOTIFICATIONS,
    requests: LEGACY_REQUESTS,
    results: LEGACY_RESULTS,
    other_results: &[],
    result_type: None,
    errors: &[],
};

/// 2025-11-25: responses have other names, and a call may become a task.
static LEGACY: Definitions = Definitions {
    notification: "JSONRPCNotification",
    request: "JSONRPCRequest",
    response: "JSONRPCResultResponse",
    error: "JSONRPCErrorResponse",
    result: "Result",
    notifications: LEGACY_NOTIFICATIONS,
    requests: LEGACY_REQUESTS,
    results: LEGACY_RESULTS,
    other_results: &[OtherResult {
        member: "task",
        text: None,
        methods: &["tools/call"],
        definition: "CreateTaskResult",
    }],
    result_type: None,
    errors: &[(-32042, "URLElicitationRequiredError")],
};

/// 2026-07-28: the server sends requests within its results only.
static MODERN: Definitions = Definitions {
    notification: "JSONRPCNotification",
    request: "JSONRPCRequest",
    response: "JSONRPCResultResponse",
    error: "JSONRPCErrorResponse",
    result: "Result",
    notifications: &[
        ("notifications/cancelled", "CancelledNotification"),
        ("notifications/progress", "ProgressNotification"),
        ("notifications/message", "LoggingMessageNotification"),
        (
            "notifications/subscriptions/acknowledged",
            "SubscriptionsAcknowledgedNotification",
        ),
        (
            "notifications/resources/updated",
            "ResourceUpdatedNotification",
        ),
        (
            "notifications/resources/list_changed",
            "ResourceListChangedNotification",
        ),
        (
            "notifications/tools/list_changed",
            "ToolListChangedNotification",
        ),
        (
            "notifications/prompts/list_changed",
            "PromptListChangedNotification",
        ),
        // Of the extension io.modelcontextprotocol/tasks, whose schema the suite lacks.
        ("notifications/tasks", "JSONRPCNotification"),
    ],
    requests: &[],
    results: &[
        ("server/discover", "DiscoverResult"),
        ("subscriptions/listen", "SubscriptionsListenResult"),
        ("tools/list", "ListToolsResult"),
        ("tools/call", "CallToolResult"),
        ("resources/list", "ListResourcesResult"),
        ("resources/templates/list", "ListResourceTemplatesResult"),
        ("resources/read", "ReadResourceResult"),
        ("prompts/list", "ListPromptsResult"),
        ("prompts/get", "GetPromptResult"),
        ("completion/complete", "CompleteResult"),
    ],
    other_results: &[
        OtherResult {
            member: "resultType",
            text: Some("input_required"),
            methods: &["tools/call", "resources/read", "prompts/get"],
            definition: "InputRequiredResult",
        },
        // The extension io.modelcontextprotocol/tasks has its own schema, which the suite lacks.
        OtherResult {
            member: "resultType",
            text: Some("task"),
            methods: &["tools/call"],
            definition: "Result",
        },
    ],
    result_type: Some("complete"),
    errors: &[
        (-32020, "HeaderMismatchError"),
        (-32021, "MissingRequiredClientCapabilityError"),
        (-32022, "UnsupportedProtocolVersionError"),
    ],
};

#[cfg(test)]
mod tests {
    use super::super::official::validator;
    use super::{Definitions, Revision};

    /// Names in the tables of the legacy era that its first revisions do not have.
    const CAME_LATER: &[(Revision, &[&str])] = &[
        (Revision::June2025, &["ElicitRequest"]),
        (
            Revision::November2025,
            &[
                "TaskStatusNotification",
                "ElicitationCompleteNotification",
                "GetTaskRequest",
                "GetTaskPayloadRequest",
                "CancelTaskRequest",
                "ListTasksRequest",
                "GetTaskResult",
                "GetTaskPayloadResult",
                "CancelTaskResult",
                "ListTasksResult",
            ],
        ),
    ];

    fn comes_after(revision: Revision, definition: &str) -> bool {
        CAME_LATER.iter().any(|(first, definitions)| {
            definitions.contains(&definition) && revision.name() < first.name()
        })
    }

    #[test]
    fn the_schemas_have_every_name_of_the_tables() {
        for revision in Revision::ALL {
            let table = Definitions::of(revision);
            let mut names = vec![
                table.notification,
                table.request,
                table.response,
                table.error,
                table.result,
            ];
            for listed in [table.notifications, table.requests, table.results] {
                names.extend(listed.iter().map(|(_, definition)| *definition));
            }
            names.extend(table.errors.iter().map(|(_, definition)| *definition));
            names.extend(table.other_results.iter().map(|other| other.definition));
            for name in names {
                assert_eq!(
                    validator(revision, name).is_some(),
                    !comes_after(revision, name),
                    "{name} of {revision:?}"
                );
            }
        }
    }
}
