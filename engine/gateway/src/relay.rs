//! Relayed messages: what is replaced in them, and what goes through as it came.
//!
//! Every message is checked as complete JSON before a part of it goes on. Members that are routed
//! by are replaced; the text of all others stays, to the digit of each number.

mod answer;
mod downgrade;
mod failure;
mod line;
mod namespaced;
mod part;
mod question;
mod request;
mod state;
mod task;
mod task_exchange;
mod task_name;

pub use answer::{AnswerFault, Incoming, is_session_lost, read_message, write_notification};
pub use failure::{Executed, Failure, Reason};
pub use line::{LineMessage, PONG, REFUSAL, read_line, write_response};
pub(crate) use namespaced::namespaced_meta;
pub use part::{Downward, RelayedPart, URL_REQUIRED};
pub use question::{InputRequired, QuestionWay, read_question};
pub use request::{Hop, Input, RelayedRequest, Replaced, RequestFault, TaskMode, write_body};
pub use state::{ParkedCall, RelayedState, STATE_BYTES_MAX};
pub use task::{TASK_ID_BYTES_MAX, TaskStatus, UpstreamTask, state_for, write_created};
pub use task_exchange::{TaskAction, TaskExchange, TaskMethod};
pub use task_name::TaskName;
