//! Side effects that happen once, in however many rounds a handler runs.

use std::future::Future;

use corelane_protocol::mcp::era::Era;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Call;
use crate::handler::error::CallError;
use crate::handler::rounds::{ONCE_BYTES_MAX, WaitingRecord};

impl Call {
    /// Runs `effect` once in this call, for any number of rounds, and returns its value in each.
    /// `key` names the effect within this call.
    ///
    /// A handler with a request to a modern client runs again from its start when the client has
    /// answered: see [`Call::elicit`]. Use this for every effect before the last request that must
    /// not happen twice. The value travels with the client, encrypted and authenticated, and the
    /// effect has happened when this returns. The value of a failed effect is not kept, nor that
    /// of an effect that was interrupted by a request. A client that repeats a round gets the
    /// values from before that round.
    ///
    /// ```
    /// # use corelane::{Call, CallError, Elicitation, tool};
    /// # async fn reserve() -> Result<u64, std::io::Error> { Ok(7) }
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)] struct Party { guests: u32 }
    /// /// Books a table.
    /// #[tool]
    /// async fn book(call: &Call) -> Result<String, CallError> {
    ///     let table = call.once("table", async { Ok(reserve().await?) }).await?;
    ///     let question = Elicitation::form::<Party>("For how many?")?;
    ///     let Party { guests } = call.elicit("party", question).await?.into_form()?;
    ///     Ok(format!("table {table} for {guests}"))
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of `effect`, and [`CallError`] when the values of the call exceed
    /// [`ONCE_BYTES_MAX`]: keep an id rather than the value.
    pub async fn once<T>(
        &self,
        key: &str,
        effect: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError>
    where
        T: Serialize + DeserializeOwned,
    {
        if let Some(kept) = self.with_rounds(|rounds| rounds.as_ref()?.kept.get(key).cloned()) {
            return Ok(serde_json::from_value(kept)?);
        }
        let value = {
            let _guard = Guard::new(self.waiting_record());
            effect.await?
        };
        let kept = serde_json::to_value(&value)?;
        let bytes = self.with_rounds(|rounds| {
            let all = &mut rounds.get_or_insert_default().kept;
            all.insert(key.to_owned(), kept);
            serde_json::to_vec(all).map(|text| text.len())
        })?;
        if bytes > ONCE_BYTES_MAX {
            return Err(CallError::internal(format!(
                "the value of {key:?} makes {bytes} bytes of values that happen once, more than \
                 {ONCE_BYTES_MAX}: keep an id instead"
            )));
        }
        Ok(value)
    }

    /// Records that the handler waits, in a debug build.
    pub(in crate::handler) fn note_waiting(&self) {
        let record = self.waiting_record();
        if cfg!(debug_assertions) && record.guards.get() == 0 && !self.has_questions() {
            record.has_waited.set(true);
        }
    }

    /// Warns, in a debug build, if the handler waited for something that happens again when its
    /// client has answered the request `key`.
    pub(super) fn warn_of_repetition(&self, key: &str, era: Option<Era>) {
        if cfg!(debug_assertions)
            && era == Some(Era::Modern)
            && self.waiting_record().has_waited.get()
        {
            tracing::warn!(
                handler = &*self.handler_name(),
                key,
                "the handler waited for something before it asked, and will again when it runs \
                 again with the answer: guard it with Call::once"
            );
        }
    }

    /// Forgets how the request before waited.
    pub(super) fn forget_waiting(&self) {
        self.waiting_record().has_waited.set(false);
    }
}

/// Counts among the guards while it lives.
struct Guard<'a>(&'a WaitingRecord);

impl<'a> Guard<'a> {
    fn new(record: &'a WaitingRecord) -> Guard<'a> {
        record.guards.set(record.guards.get() + 1);
        Guard(record)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.guards.set(self.0.guards.get() - 1);
    }
}
