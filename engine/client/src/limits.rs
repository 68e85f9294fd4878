//! The bounds of a client.

use std::time::Duration;

/// The longest silence within a call, unless a setting says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time of a call, unless a setting says otherwise.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// How long a server of lines may be silent on `server/discover` before it counts as legacy.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may take to open.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most requests in flight, unless a setting says otherwise; more of them wait.
pub(crate) const CALLS_MAX: usize = 1024;
/// The most pages of a list.
pub(crate) const PAGES_MAX: usize = 64;
/// The most rounds of input in a call.
pub(crate) const ROUNDS_MAX: usize = 10;
/// The most requests of the server that are being answered; more are refused.
pub(crate) const QUESTIONS_MAX: usize = 64;
/// The most cancellations that are being sent; more are left out.
pub(crate) const CANCELLATIONS_MAX: u32 = 1024;
/// The most bytes of a message of the server.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// The most notifications of a call, or changes, that wait for their reader.
pub(crate) const WAITING_MAX: usize = 256;
/// The most messages that wait to be written.
pub(crate) const UNSENT_MAX: usize = 1024;
/// The most resumptions in a row of a stream that brings nothing.
pub(crate) const RESUMES_MAX: u32 = 16;
/// The most times that a request is sent again with other credentials.
pub(crate) const AUTH_ROUNDS_MAX: u32 = 3;
/// The wait before a resumption, unless the server sends another one.
pub(crate) const RETRY: Duration = Duration::from_secs(1);
/// The longest wait that a server may impose.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(60);
/// The shortest and the longest wait before changes are subscribed to again.
pub(crate) const RELISTEN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];
/// How long a client waits for the stream of a legacy session before it goes on without.
pub(crate) const STREAM_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end of a connection may take.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The wait between two queries of a task, unless the server says otherwise.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest and the longest wait between two queries of a task.
pub(crate) const POLL: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(600)];
/// The most queries of a task in a row that may get no answer.
pub(crate) const POLLS_LOST_MAX: u32 = 8;
/// The most inputs of a task.
pub(crate) const TASK_INPUTS_MAX: usize = 256;
/// The most results that are kept while they are fresh.
pub(crate) const CACHE_ENTRIES_MAX: usize = 256;
/// The most bytes of results that are kept.
pub(crate) const CACHE_BYTES_MAX: usize = 16 << 20;
/// The longest time that a result is kept.
pub(crate) const CACHE_TTL_MAX: Duration = Duration::from_secs(24 * 3600);
