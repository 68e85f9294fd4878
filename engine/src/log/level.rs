//! The level of the log while the process runs: another one for a time, and then that of the start
//! or of the last reload again, so that no one forgets a level that writes much.

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Puts a filter in the place of the present one. Returns whether that was possible.
pub(super) type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// The level of the process.
pub(super) struct Level(Mutex<State>);

enum State {
    /// No other level was set so far.
    Start { set: SetFilter, present: String },
    /// A thread sets levels, and that of the start when their time is over.
    Running(Sender<Request>),
    /// The thread is gone.
    Failed,
}

/// A request to the thread.
enum Request {
    /// This level for a time.
    For(Box<EnvFilter>, Duration),
    /// This level in the place of that of the start.
    Start(&'static str),
}

impl Level {
    /// The level `present`, which `set` changes.
    pub(super) fn new(set: SetFilter, present: String) -> Level {
        Level(Mutex::new(State::Start { set, present }))
    }

    /// Sets the level in the place of that of the start, at once or when the time of another one is
    /// over.
    ///
    /// # Errors
    /// No thread can be made.
    pub(super) fn set_start(&self, level: &'static str) -> Result<(), String> {
        self.send(Request::Start(level))
    }

    /// Sets another level for `time`.
    ///
    /// # Errors
    /// The text is no level, or no thread can be made.
    #[cfg_attr(
        not(any(test, feature = "metrics")),
        expect(dead_code, reason = "only the control socket sets it")
    )]
    pub(super) fn set(&self, text: &str, time: Duration) -> Result<(), String> {
        // The filter takes a misspelled level for the name of a module, of which it shows all.
        let is_level = |part: &str| {
            part.contains('=') || !part.is_empty() && part.parse::<LevelFilter>().is_ok()
        };
        let parsed = EnvFilter::try_new(text).ok();
        let filter = parsed.filter(|_| text.split(',').all(is_level));
        let filter = filter.ok_or_else(|| {
            format!(
                "invalid level {text:?}: give off, error, warn, info, debug or trace, or a level \
                 for each module, such as info,corelane=debug"
            )
        })?;
        self.send(Request::For(Box::new(filter), time))
    }

    fn send(&self, request: Request) -> Result<(), String> {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let State::Start { .. } = *state {
            *state = match std::mem::replace(&mut *state, State::Failed) {
                State::Start { set, present } => started(set, present).unwrap_or(State::Failed),
                other => other,
            };
        }
        let State::Running(sender) = &*state else {
            return Err("the thread for levels cannot be made".to_owned());
        };
        let sent = sender.send(request);
        sent.map_err(|_| "the thread for levels is gone".to_owned())
    }
}

fn started(set: SetFilter, present: String) -> Option<State> {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::Builder::new().name("log-level".to_owned());
    let keep = move || keep_levels(&receiver, &set, &present);
    thread.spawn(keep).ok().map(|_| State::Running(sender))
}

/// Sets the levels that come, and `first` when the time of one is over.
fn keep_levels(receiver: &Receiver<Request>, set: &SetFilter, first: &str) {
    let mut first = first;
    let mut until: Option<Instant> = None;
    loop {
        let received = match until {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => receiver.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(Request::For(filter, time)) => {
                set(*filter);
                until = Instant::now().checked_add(time);
            }
            Ok(Request::Start(level)) => {
                first = level;
                if until.is_none() {
                    set(EnvFilter::new(first));
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                set(EnvFilter::new(first));
                until = None;
                tracing::info!(
                    level = first,
                    "the level of the log is that of the start again"
                );
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::Level;

    #[test]
    fn a_level_is_set_for_a_time_and_a_wrong_one_is_named() {
        let (sender, set) = mpsc::channel();
        let set_filter =
            move |filter: tracing_subscriber::EnvFilter| sender.send(filter.to_string()).is_ok();
        let level = Level::new(Box::new(set_filter), "warn".to_owned());
        for wrong in ["a=b=c", "loud", "info,loud", ""] {
            let error = level.set(wrong, Duration::ZERO).expect_err("no level");
            assert!(error.contains(wrong) && error.contains("trace"), "{error}");
        }
        level
            .set("debug", Duration::from_secs(3600))
            .expect("a level");
        level.set("trace", Duration::ZERO).expect("a level");
        let levels: Vec<String> = (0..3).map(|_| set.recv().expect("a level")).collect();
        assert_eq!(levels, ["debug", "trace", "warn"]);
        // The level of a reload waits until the time of another one is over.
        level.set_start("error").expect("a level");
        level
            .set("debug", Duration::from_secs(3600))
            .expect("a level");
        level.set_start("info").expect("a level");
        level.set("trace", Duration::ZERO).expect("a level");
        let levels: Vec<String> = (0..4).map(|_| set.recv().expect("a level")).collect();
        assert_eq!(levels, ["error", "debug", "trace", "info"]);
    }
}
