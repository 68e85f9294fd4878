//! Reports of progress, and the wait for capacity.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use corelane_protocol::mcp::progress;
use corelane_protocol::mcp::revision::Revision;

use super::call::{Call, StreamItem};

/// A report of progress, sent when it is awaited. Made by [`Call::progress`].
#[must_use = "a report is sent when it is awaited"]
#[derive(Debug)]
pub struct Progress<'a> {
    call: &'a Call,
    done: f64,
    total: Option<f64>,
    message: Option<&'a str>,
}

/// Waits until a report fits.
pub struct ProgressFuture<'a>(Option<Pin<Box<dyn Future<Output = ()> + 'a>>>);

impl Call {
    /// Reports progress: `done`, in a unit of the handler's choice.
    ///
    /// Nothing is sent when the client wants no progress, or when `done` is no number or not more
    /// than last time (MCP basic/utilities/progress: the value must increase). Waits while the
    /// client is slower than the handler.
    ///
    /// ```
    /// # use corelane::{Call, tool};
    /// /// Copies pages.
    /// #[tool]
    /// async fn copy(call: &Call, pages: u32) {
    ///     for page in 1..=pages {
    ///         call.progress(page).total(pages).message("copying").await;
    ///     }
    /// }
    /// ```
    pub fn progress(&self, done: impl Into<f64>) -> Progress<'_> {
        Progress {
            call: self,
            done: done.into(),
            total: None,
            message: None,
        }
    }
}

impl<'a> Progress<'a> {
    /// Sets the total, in the same unit.
    pub fn total(mut self, total: impl Into<f64>) -> Progress<'a> {
        self.total = Some(total.into());
        self
    }

    /// Sets the message, one line for people.
    pub fn message(mut self, message: &'a str) -> Progress<'a> {
        self.message = Some(message);
        self
    }

    /// The notification, if one must be sent.
    fn notification(&self) -> Option<Vec<u8>> {
        if !self.done.is_finite() || self.done <= self.call.last_progress() {
            return None;
        }
        let total = self.total.filter(|total| total.is_finite());
        self.call.with_options(|options| {
            let token = options.progress_token.as_ref()?;
            let has_words = options.revision.is_none_or(Revision::has_audio);
            let message = self.message.filter(|_| has_words);
            let mut event = Vec::new();
            progress::write_notification(&mut event, token.as_id(), self.done, total, message);
            Some(event)
        })
    }
}

impl<'a> IntoFuture for Progress<'a> {
    type Output = ();
    type IntoFuture = ProgressFuture<'a>;

    fn into_future(self) -> ProgressFuture<'a> {
        ProgressFuture(self.notification().map(|event| {
            self.call.set_last_progress(self.done);
            let sent = self.call.queue(StreamItem::Message(event));
            Box::pin(sent) as Pin<Box<dyn Future<Output = ()> + 'a>>
        }))
    }
}

impl Future for ProgressFuture<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sent) => sent.as_mut().poll(context),
            None => Poll::Ready(()),
        }
    }
}
