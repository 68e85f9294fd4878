//! The order of frames, for each of the two processes, and the end of a hand-over.

use super::frame::{Frame, FrameFault, VERSION};

/// Why a hand-over ends without the new process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(
        "the new release {release} hands over in the versions {oldest} to {newest}, and this one \
         in version {VERSION}: restart instead, or upgrade to a release between them first"
    )]
    Version {
        release: String,
        oldest: u16,
        newest: u16,
    },
    #[error("the new process does not start: {0}")]
    Failed(String),
    #[error("the new process said \"{frame}\" while {step:?} was due")]
    Unexpected { frame: &'static str, step: OldStep },
    #[error("the new process answered with {0}, which do not fit")]
    Nonsense(&'static str),
    #[error(transparent)]
    Frame(#[from] FrameFault),
    #[error("the new process has ended while {0:?} was due: see its lines in the log")]
    Gone(OldStep),
    #[error("the new process was silent while {0:?} was due, and was ended")]
    Silent(OldStep),
    #[error("a shard of this process does not answer: it stalls")]
    Shard,
    #[error("a change is being broadcast to many streams: try again")]
    Busy,
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// The frame that the old process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldStep {
    Hello,
    Ready,
    /// Nothing is unanswered.
    Rest,
    /// Of a frame with so many rows.
    Taken(usize),
    Committed,
    /// The new process serves.
    Over,
}

/// The old process's side.
#[derive(Debug)]
pub(crate) struct OldSide {
    step: OldStep,
    addresses: usize,
}

impl OldSide {
    /// It waits for the new process to say hello, with so many addresses.
    pub(crate) fn new(addresses: usize) -> OldSide {
        OldSide {
            step: OldStep::Hello,
            addresses,
        }
    }

    /// The frame that it waits for.
    pub(crate) fn step(&self) -> OldStep {
        self.step
    }

    /// A frame is sent.
    pub(crate) fn on_sent(&mut self, frame: &Frame) {
        self.step = match frame {
            Frame::Sessions { rows } => OldStep::Taken(rows.len()),
            Frame::Ended { rows } => OldStep::Taken(rows.len()),
            Frame::Connections { rows } => OldStep::Taken(rows.len()),
            Frame::Commit { .. } => OldStep::Committed,
            _ => return,
        };
    }

    /// Takes the frame that was waited for.
    ///
    /// # Errors
    /// Why the hand-over is over.
    pub(crate) fn on_frame(&mut self, frame: Frame) -> Result<Frame, Fault> {
        self.step = match (self.step, &frame) {
            (_, Frame::Failed { reason }) => return Err(Fault::Failed(reason.clone())),
            (
                OldStep::Hello,
                Frame::Hello {
                    oldest,
                    newest,
                    release,
                },
            ) => {
                if !(*oldest..=*newest).contains(&VERSION) {
                    return Err(Fault::Version {
                        release: release.clone(),
                        oldest: *oldest,
                        newest: *newest,
                    });
                }
                OldStep::Ready
            }
            (OldStep::Ready, Frame::Ready { takes }) => {
                if takes.len() != self.addresses {
                    return Err(Fault::Nonsense("other addresses"));
                }
                OldStep::Rest
            }
            (OldStep::Taken(rows), Frame::Taken { refused }) => {
                let is_sorted = refused.is_sorted_by(|a, b| a < b);
                if !is_sorted || refused.last().is_some_and(|last| *last >= rows) {
                    return Err(Fault::Nonsense("rows that were not sent"));
                }
                OldStep::Rest
            }
            (OldStep::Committed, Frame::Committed) => OldStep::Over,
            (step, frame) => {
                let frame = frame.name();
                return Err(Fault::Unexpected { frame, step });
            }
        };
        Ok(frame)
    }
}

/// The frame that the new process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewStep {
    Begin,
    /// So many sockets.
    Sockets(usize),
    /// It starts, or has started.
    Held,
    /// It serves.
    Serving,
}

/// The order to the new process.
#[derive(Debug, PartialEq)]
pub(crate) enum Order {
    /// A frame to be used.
    Use(Frame),
    /// It serves from here on: the old process says so, or has died. The lists that clients know
    /// have these fingerprints.
    Serve(Vec<u64>),
    /// It ends: the old process goes on.
    End(String),
}

/// The new process's side.
#[derive(Debug)]
pub(crate) struct NewSide {
    step: NewStep,
}

impl NewSide {
    /// It has said hello.
    pub(crate) fn new() -> NewSide {
        NewSide {
            step: NewStep::Begin,
        }
    }

    /// Whether the sockets are complete.
    pub(crate) fn is_held(&self) -> bool {
        self.step == NewStep::Held
    }

    /// Takes the next frame of the old process.
    pub(crate) fn on_frame(&mut self, frame: Frame) -> Order {
        let end = |text: &str| Order::End(text.to_owned());
        match (self.step, &frame) {
            (_, Frame::Abort) => return end("the old process goes on"),
            (
                NewStep::Begin,
                Frame::Begin {
                    version, sockets, ..
                },
            ) => {
                if *version != VERSION {
                    return end("the old process chose a version that this release does not speak");
                }
                self.step = match sockets {
                    0 => NewStep::Held,
                    left => NewStep::Sockets(*left),
                };
            }
            (NewStep::Sockets(left), Frame::Sockets { rows }) => {
                self.step = match left.checked_sub(rows.len()) {
                    None => return end("the old process sent more sockets than it had announced"),
                    Some(0) => NewStep::Held,
                    Some(left) => NewStep::Sockets(left),
                };
            }
            (
                NewStep::Held,
                Frame::Sessions { .. } | Frame::Ended { .. } | Frame::Connections { .. },
            ) => {}
            (NewStep::Held, Frame::Commit { lists }) => {
                self.step = NewStep::Serving;
                return Order::Serve(lists.clone());
            }
            (step, frame) => {
                let frame = frame.name();
                return Order::End(format!("the old process said \"{frame}\" at {step:?}"));
            }
        }
        Order::Use(frame)
    }

    /// The old process is gone without a word. With its sockets the new one serves in its place;
    /// otherwise it cannot.
    pub(crate) fn on_loss(&mut self) -> Order {
        match self.step {
            NewStep::Begin | NewStep::Sockets(_) => Order::End("the old process has ended".into()),
            NewStep::Held | NewStep::Serving => {
                self.step = NewStep::Serving;
                Order::Serve(Vec::new())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, NewSide, OldSide, OldStep, Order};
    use crate::handover::frame::{Frame, VERSION};
    use crate::handover::rows::SocketRow;

    fn hello(oldest: u16, newest: u16) -> Frame {
        let release = "9".to_owned();
        Frame::Hello {
            oldest,
            newest,
            release,
        }
    }

    fn begin(version: u16, sockets: usize) -> Frame {
        Frame::Begin {
            version,
            addresses: Vec::new(),
            sockets,
            key: String::new(),
        }
    }

    fn sockets(count: usize) -> Frame {
        let rows = vec![SocketRow::Metrics; count];
        Frame::Sockets { rows }
    }

    fn commit() -> Frame {
        let lists = vec![5];
        Frame::Commit { lists }
    }

    fn sessions() -> Frame {
        Frame::Sessions { rows: Vec::new() }
    }

    /// Every kind of frame.
    fn all() -> Vec<Frame> {
        let text = String::new;
        vec![
            hello(VERSION, VERSION),
            begin(VERSION, 1),
            sockets(1),
            Frame::Ready { takes: vec![true] },
            Frame::Failed { reason: text() },
            sessions(),
            Frame::Ended { rows: Vec::new() },
            Frame::Connections { rows: Vec::new() },
            Frame::Taken { refused: vec![] },
            commit(),
            Frame::Committed,
            Frame::Abort,
        ]
    }

    /// The old side as it waits at each step, with the name of the only frame that fits.
    fn old_at_each_step() -> Vec<(OldSide, &'static str)> {
        let (step, addresses) = (OldStep::Hello, 1);
        let mut steps = vec![(OldSide { step, addresses }, "hello")];
        for (step, fits) in [
            (OldStep::Ready, "ready"),
            (OldStep::Rest, "none"),
            (OldStep::Taken(1), "taken"),
            (OldStep::Committed, "committed"),
            (OldStep::Over, "none"),
        ] {
            steps.push((OldSide { step, addresses }, fits));
        }
        steps
    }

    #[test]
    fn the_old_process_takes_the_frame_that_is_due_and_no_other() {
        for frame in all() {
            for (mut old, fits) in old_at_each_step() {
                let step = old.step();
                let taken = old.on_frame(frame.clone());
                let expected = frame.name() == fits;
                assert_eq!(taken.is_ok(), expected, "{frame:?} at {step:?}");
                assert!(expected || old.step() == step);
            }
        }
    }

    #[test]
    fn a_whole_hand_over_ends_with_the_new_process() {
        let (mut old, mut new) = (OldSide::new(1), NewSide::new());
        old.on_frame(hello(0, VERSION + 3))
            .expect("a common version");
        for frame in [begin(VERSION, 3), sockets(2), sockets(1)] {
            assert!(!new.is_held());
            old.on_sent(&frame);
            assert_eq!(new.on_frame(frame.clone()), Order::Use(frame));
        }
        assert!(new.is_held());
        old.on_frame(Frame::Ready { takes: vec![true] })
            .expect("it is due");
        for _ in 0..3 {
            old.on_sent(&sessions());
            assert_eq!(new.on_frame(sessions()), Order::Use(sessions()));
            let taken = Frame::Taken { refused: vec![] };
            old.on_frame(taken).expect("it is due");
        }
        old.on_sent(&commit());
        assert_eq!(new.on_frame(commit()), Order::Serve(vec![5]));
        assert_ne!(old.step(), OldStep::Over);
        old.on_frame(Frame::Committed).expect("it is due");
        assert_eq!(old.step(), OldStep::Over);
    }

    #[test]
    fn versions_without_a_common_one_and_impossible_answers_are_refused() {
        for (oldest, newest) in [(VERSION + 1, VERSION + 2), (0, VERSION - 1), (VERSION, 0)] {
            let refused = OldSide::new(1).on_frame(hello(oldest, newest));
            assert!(matches!(refused, Err(Fault::Version { .. })));
        }
        let at = |step| OldSide { step, addresses: 2 };
        let ready = Frame::Ready { takes: vec![true] };
        assert!(at(OldStep::Ready).on_frame(ready).is_err());
        for refused in [vec![3], vec![1, 1], vec![2, 1], vec![usize::MAX]] {
            let taken = Frame::Taken { refused };
            assert!(at(OldStep::Taken(3)).on_frame(taken).is_err());
        }
    }

    #[test]
    fn the_new_process_ends_at_whatever_it_does_not_expect() {
        let held = || {
            let mut new = NewSide::new();
            new.on_frame(begin(VERSION, 1));
            new.on_frame(sockets(1));
            new
        };
        for frame in all() {
            let is = |names: &[&str]| names.contains(&frame.name());
            let order = NewSide::new().on_frame(frame.clone());
            assert_eq!(!matches!(order, Order::End(_)), is(&["begin"]), "{frame:?}");
            let order = held().on_frame(frame.clone());
            let fits = is(&["sessions", "ended", "connections", "commit"]);
            assert_eq!(!matches!(order, Order::End(_)), fits, "{frame:?}");
        }
        let mut new = NewSide::new();
        assert!(matches!(new.on_frame(begin(VERSION + 1, 1)), Order::End(_)));
        new.on_frame(begin(VERSION, 1));
        assert!(matches!(new.on_frame(sockets(2)), Order::End(_)));
    }

    #[test]
    fn the_new_process_serves_when_the_old_one_dies_after_its_sockets() {
        let mut new = NewSide::new();
        assert!(matches!(new.on_loss(), Order::End(_)));
        new.on_frame(begin(VERSION, 1));
        assert!(matches!(new.on_loss(), Order::End(_)));
        new.on_frame(sockets(1));
        assert_eq!(new.on_loss(), Order::Serve(Vec::new()));
    }
}
