//! The limits of one tool: its calls in flight, their time, and its circuit breaker.
//!
//! A shard has its own count and its own breaker of each tool. A call that is answered at once
//! takes no place. Each client has a share of the places.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::tool::ToolParts;
use crate::breaker::{Admitted, Breaker, BreakerLimits, CallSign, Change};
use crate::guard::holder::HolderKey;
use crate::guard::shares::{Lack, Shares};
use crate::handler::outcome::{Outcome, Waiting};
use crate::handler::runner::{Arguments, ArgumentsRunner, Runner, Started};
use crate::handler::{Call, CallError};
use crate::meter::{Counter, ShardMeter};
use corelane_io::executor;

/// Limits of each tool that has none of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToolLimits {
    /// Calls of one tool that may wait at once on a shard.
    pub(crate) in_flight_max: usize,
    /// When its breaker opens.
    pub(crate) breaker: BreakerLimits,
}

impl ToolLimits {
    /// As if there were none.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) const NONE: ToolLimits = ToolLimits {
        in_flight_max: usize::MAX,
        breaker: BreakerLimits::in_a_row(0, 0),
    };

    /// Calls in flight of the tool with these parts, which may have a limit of its own.
    fn in_flight_max_of(&self, parts: &ToolParts) -> usize {
        parts.in_flight_max.unwrap_or(self.in_flight_max)
    }
}

/// A runner with limits on its calls.
pub(crate) struct Guarded {
    runner: Rc<ArgumentsRunner>,
    guard: Rc<Guard>,
}

struct Guard {
    tool: String,
    in_flight: RefCell<Shares>,
    timeout: Option<Duration>,
    breaker: RefCell<Breaker>,
    /// The time that the breaker counts from.
    started: Instant,
    meter: Rc<ShardMeter>,
}

impl Guarded {
    /// The runner of a tool on the calling shard.
    pub(crate) fn new(parts: &ToolParts, limits: ToolLimits, meter: &Rc<ShardMeter>) -> Guarded {
        let in_flight_max = limits.in_flight_max_of(parts);
        Guarded {
            runner: (parts.handler.source)(),
            guard: Rc::new(Guard {
                tool: parts.definition.name.clone(),
                in_flight: RefCell::new(Shares::new(in_flight_max)),
                timeout: parts.timeout,
                breaker: RefCell::new(Breaker::new(limits.breaker)),
                started: Instant::now(),
                meter: Rc::clone(meter),
            }),
        }
    }
}

impl Guarded {
    /// Changes the limits of the tool with these parts. Calls that run go on.
    pub(crate) fn set_limits(&self, parts: &ToolParts, limits: ToolLimits) {
        let in_flight_max = limits.in_flight_max_of(parts);
        self.guard.in_flight.borrow_mut().set_max(in_flight_max);
        self.guard.breaker.borrow_mut().set_limits(limits.breaker);
    }
}

impl<'a> Runner<Arguments<'a>> for Guarded {
    fn start(&self, call: &Call, arguments: Arguments<'a>) -> Started {
        let admitted = match self.guard.admit(call.holder()) {
            Ok(admitted) => admitted,
            Err(refused) => return Started::Ready(Err(refused)),
        };
        match self.runner.start(call, arguments) {
            Started::Ready(outcome) => {
                self.guard.ended(admitted, sign_of(&outcome));
                Started::Ready(outcome)
            }
            Started::Waiting(waiting) => {
                let place = Place::take(&self.guard, admitted, call);
                Started::Waiting(Box::pin(place.hold(waiting)))
            }
            Started::BadArguments(text) => {
                self.guard.ended(admitted, CallSign::Unknown);
                Started::BadArguments(text)
            }
        }
    }

    fn needs_holder(&self) -> bool {
        self.guard.in_flight.borrow().is_contested()
    }
}

impl Guard {
    /// Whether a call may run.
    ///
    /// # Errors
    /// Why not, for its client.
    #[inline]
    fn admit(&self, holder: HolderKey) -> Result<Admitted, CallError> {
        let in_flight = self.in_flight.borrow();
        if !in_flight.is_ample()
            && let Err(lack) = in_flight.check(holder, 1)
        {
            return Err(self.refuse_full(lack));
        }
        if self.breaker.borrow().is_untroubled() {
            return Ok(Admitted::Usual);
        }
        self.admit_troubled()
    }

    #[cold]
    fn refuse_full(&self, lack: Lack) -> CallError {
        self.meter.count(Counter::CallsRefusedTool);
        let (in_flight, tool) = (self.in_flight.borrow(), &self.tool);
        let (used, max) = (in_flight.used(), in_flight.max());
        let fact = match lack {
            Lack::Free { .. } => {
                format!("all {max} calls in flight of the tool {tool:?} are taken on this shard")
            }
            Lack::Share { held } => format!(
                "the client has at least {held} calls in flight of the tool {tool:?}, its share \
                 while {used} of the {max} of the shard are taken"
            ),
        };
        let text = format!("{fact} (tools.in_flight_max or Tool::with_in_flight_max)");
        CallError::overloaded(text, 0)
    }

    #[cold]
    fn admit_troubled(&self) -> Result<Admitted, CallError> {
        let mut breaker = self.breaker.borrow_mut();
        let failures_max = breaker.limits().failures_max;
        breaker.admit(self.now_ms()).map_err(|left_ms| {
            self.meter.count(Counter::CallsRefusedBreaker);
            let until = match left_ms {
                0 => "until the one that tries it ends".to_owned(),
                _ => format!("for {left_ms} more ms (tools.open_ms)"),
            };
            let text = format!(
                "the tool {:?} failed {failures_max} times in a row (tools.failures_max), so its \
                 calls are refused {until}",
                self.tool
            );
            CallError::overloaded(text, left_ms)
        })
    }

    #[inline]
    fn ended(&self, admitted: Admitted, sign: CallSign) {
        if sign == CallSign::Works && self.breaker.borrow().is_untroubled() {
            return;
        }
        self.ended_troubled(admitted, sign);
    }

    #[cold]
    fn ended_troubled(&self, admitted: Admitted, sign: CallSign) {
        let now_ms = self.now_ms();
        let mut breaker = self.breaker.borrow_mut();
        let change = breaker.ended(admitted, sign, now_ms);
        let tool = &*self.tool;
        match change {
            Some(Change::Opened) => {
                self.meter.count(Counter::BreakersOpened);
                let BreakerLimits {
                    failures_max,
                    open_ms,
                    ..
                } = breaker.limits();
                tracing::warn!(
                    tool,
                    failures_max,
                    open_ms,
                    "a tool keeps failing: its calls are refused for a while"
                );
            }
            Some(Change::Reopened) => {
                let open_ms = breaker.limits().open_ms;
                tracing::warn!(
                    tool,
                    open_ms,
                    "a tool still fails: its calls are refused for a while again"
                );
            }
            Some(Change::Closed) => tracing::info!(tool, "a tool works again: its calls run"),
            None => {}
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The place of a waiting call among those of its tool; given back when it is dropped.
struct Place {
    guard: Rc<Guard>,
    admitted: Admitted,
    holder: HolderKey,
    call: Call,
    sign: Option<CallSign>,
}

impl Place {
    fn take(guard: &Rc<Guard>, admitted: Admitted, call: &Call) -> Place {
        let holder = call.holder();
        guard.in_flight.borrow_mut().take(holder, 1);
        Place {
            guard: Rc::clone(guard),
            admitted,
            holder,
            call: call.clone(),
            sign: None,
        }
    }

    /// Waits for the handler, for as long as the tool may take.
    async fn hold(mut self, mut waiting: Waiting) -> Outcome {
        let outcome = match self.guard.timeout {
            None => waiting.await,
            Some(timeout) => {
                let mut timer = pin!(executor::sleep(timeout));
                let ended = poll_fn(|context| match waiting.as_mut().poll(context) {
                    Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                    Poll::Pending => timer.as_mut().poll(context).map(|()| None),
                });
                ended.await.unwrap_or_else(|| self.time_out(timeout))
            }
        };
        self.sign = Some(sign_of(&outcome));
        outcome
    }

    fn time_out(&self, timeout: Duration) -> Outcome {
        self.guard.meter.count(Counter::TimeoutsCall);
        self.call.cancel();
        let limit_ms = timeout.as_millis();
        Err(CallError::internal(format!(
            "the tool took longer than {limit_ms} ms (Tool::with_timeout)"
        )))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut in_flight = self.guard.in_flight.borrow_mut();
        in_flight.give_back(self.holder, 1);
        drop(in_flight);
        let sign = self.sign.unwrap_or(match self.call.has_timed_out() {
            true => CallSign::Fails,
            false => CallSign::Unknown,
        });
        self.guard.ended(self.admitted, sign);
    }
}

fn sign_of(outcome: &Outcome) -> CallSign {
    match outcome {
        Err(error) if error.is_fault() => CallSign::Fails,
        _ => CallSign::Works,
    }
}
