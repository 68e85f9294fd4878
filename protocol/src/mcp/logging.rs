//! Log messages to the client (`notifications/message`).

use crate::jsonrpc::encode;

/// Severity of a log message: the eight levels of RFC 5424 6.2.1, least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Details for debugging.
    Debug,
    /// Normal progress.
    Info,
    /// Normal but significant.
    Notice,
    /// Something to look at.
    Warning,
    /// An operation failed.
    Error,
    /// A component failed.
    Critical,
    /// Action is needed at once.
    Alert,
    /// The system is unusable.
    Emergency,
}

impl LogLevel {
    /// Every level, least severe first.
    pub const ALL: [LogLevel; 8] = [
        LogLevel::Debug,
        LogLevel::Info,
        LogLevel::Notice,
        LogLevel::Warning,
        LogLevel::Error,
        LogLevel::Critical,
        LogLevel::Alert,
        LogLevel::Emergency,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Notice => "notice",
            LogLevel::Warning => "warning",
            LogLevel::Error => "error",
            LogLevel::Critical => "critical",
            LogLevel::Alert => "alert",
            LogLevel::Emergency => "emergency",
        }
    }

    /// The level called `name`; names are lower case.
    pub fn parse(name: &str) -> Option<LogLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// Writes a whole `notifications/message`.
///
/// `data` is one JSON value, already encoded.
pub fn write_notification(out: &mut Vec<u8>, level: LogLevel, logger: Option<&str>, data: &[u8]) {
    encode::begin_notification(out, "notifications/message");
    out.extend_from_slice(br#"{"level":""#);
    out.extend_from_slice(level.as_str().as_bytes());
    out.push(b'"');
    if let Some(logger) = logger {
        out.extend_from_slice(br#","logger":"#);
        encode::write_string(out, logger);
    }
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(data);
    out.push(b'}');
    encode::end(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_read_back_from_its_name() {
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::parse(level.as_str()), Some(level));
        }
        assert_eq!(LogLevel::parse("Info"), None);
        assert_eq!(LogLevel::parse("verbose"), None);
        assert!(LogLevel::Debug < LogLevel::Emergency);
    }

    #[test]
    fn writes_the_notification_of_the_schema() {
        let mut out = Vec::new();
        write_notification(&mut out, LogLevel::Info, Some("a\"b"), br#"{"n":1}"#);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"jsonrpc":"2.0","method":"notifications/message","#,
                r#""params":{"level":"info","logger":"a\"b","data":{"n":1}}}"#
            )
        );
    }
}
