//! Wakes a shard, only if it sleeps.
//!
//! A wake costs a system call and, on a virtual machine, some 60 microseconds until the sleeper
//! runs; so senders check [`Sleep`] first. Invariant: between a message becoming visible and its
//! receiver going to sleep, either the receiver sees the message or the sender sees the receiver
//! asleep. Shards wake each other through their rings; [`WakeFd`] is for threads that own none.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// An eventfd, eventfd(2): a counter in the kernel that is readable while it is not zero.
#[derive(Debug)]
pub struct EventFd {
    file: File,
}

impl EventFd {
    /// Opens one that never blocks and is not inherited by programs this one starts.
    pub fn open() -> io::Result<EventFd> {
        // SAFETY: eventfd(2) takes two numbers and touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above returned this descriptor, and nothing else knows its number.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(EventFd {
            file: File::from(fd),
        })
    }

    /// Makes it readable.
    pub fn signal(&self) {
        // The one possible failure is a counter at its maximum, and then it is readable already.
        let _ = (&self.file).write(&1_u64.to_ne_bytes());
    }

    /// Makes it unreadable until the next signal.
    pub fn clear(&self) {
        // The one possible failure is a counter at zero, and then there is nothing to clear.
        let _ = (&self.file).read(&mut [0; 8]);
    }

    /// The descriptor, to wait on.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The descriptor through which threads without a ring wake a shard.
#[derive(Clone, Debug)]
pub struct WakeFd {
    event: Arc<EventFd>,
}

impl WakeFd {
    /// Opens the descriptor.
    ///
    /// # Errors
    /// The error of eventfd(2), mostly that the process has no descriptor left.
    pub fn open() -> io::Result<WakeFd> {
        Ok(WakeFd::of(Arc::new(EventFd::open()?)))
    }

    /// A descriptor that signals `event` for each wake.
    pub(crate) fn of(event: Arc<EventFd>) -> WakeFd {
        WakeFd { event }
    }

    /// The eventfd itself.
    pub(crate) fn event(&self) -> Arc<EventFd> {
        Arc::clone(&self.event)
    }

    /// A handle that wakes the shard of this descriptor.
    pub fn waker(&self) -> Waker {
        Waker {
            event: Arc::clone(&self.event),
            park: None,
        }
    }

    /// A handle that also wakes a shard parked on `park`.
    ///
    /// The kernel does not do that by itself: a signal of one eventfd that completes a poll in a
    /// ring does not signal, from within, the eventfd that is registered with that ring
    /// (fs/eventfd.c, `in_eventfd`).
    pub fn waker_of_parked(&self, park: &Arc<EventFd>) -> Waker {
        Waker {
            park: Some(Arc::clone(park)),
            ..self.waker()
        }
    }

    /// Clears the wakes so far. A ring that polls it needs no such call.
    pub fn clear(&self) {
        self.event.clear();
    }
}

impl AsFd for WakeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Wakes one shard from any thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<EventFd>,
    park: Option<Arc<EventFd>>,
}

impl Waker {
    /// Wakes the shard: at most two system calls.
    pub fn wake(&self) {
        // In this order: a shard that clears the second signal finds the first one in its ring.
        self.event.signal();
        if let Some(park) = &self.park {
            park.signal();
        }
    }
}

/// Whether a receiver sleeps. One receiver, any number of senders.
///
/// Receiver: [`prepare_to_sleep`](Sleep::prepare_to_sleep), look at the queues once more, sleep
/// only if they are empty, then [`awake`](Sleep::awake). Sender: make the message visible, then
/// [`should_wake`](Sleep::should_wake).
#[derive(Debug, Default)]
pub struct Sleep {
    sleeping: AtomicBool,
}

impl Sleep {
    /// A receiver that is awake.
    pub fn new() -> Sleep {
        Sleep::default()
    }

    /// Receiver: announces sleep. Look at the queues after this call, not before it.
    pub fn prepare_to_sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        // Pairs with the fence of `should_wake`: the store above comes before the receiver's last
        // look at the queues in the one order all threads agree on.
        fence(Ordering::SeqCst);
    }

    /// Receiver: it runs and needs no wake.
    pub fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Sender, after making a message visible: whether this sender is the one that has to wake
    /// the receiver. True once per sleep.
    pub fn should_wake(&self) -> bool {
        // Pairs with the fence of `prepare_to_sleep`: the message was made visible before the
        // load below in the one order all threads agree on.
        fence(Ordering::SeqCst);
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Sleep, WakeFd};
    use crossbeam::utils::CachePadded;
    use std::io::Read;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::{Barrier, mpsc};

    #[test]
    fn one_sender_wakes_one_sleep() {
        let sleep = Sleep::new();
        assert!(!sleep.should_wake());
        sleep.prepare_to_sleep();
        assert!(sleep.should_wake());
        assert!(!sleep.should_wake());
        sleep.prepare_to_sleep();
        sleep.awake();
        assert!(!sleep.should_wake());
    }

    #[test]
    fn no_message_leaves_its_receiver_asleep() {
        const MESSAGES: u32 = 20_000;
        let sleep = Sleep::new();
        let visible = AtomicU32::new(0);
        let start = Barrier::new(2);
        let (waker, wakes) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for message in 1..=MESSAGES {
                    visible.store(message, Ordering::Relaxed);
                    if sleep.should_wake() {
                        waker.send(()).unwrap();
                    }
                }
            });
            start.wait();
            loop {
                let seen = visible.load(Ordering::Relaxed);
                if seen == MESSAGES {
                    break;
                }
                sleep.prepare_to_sleep();
                if visible.load(Ordering::Relaxed) == seen {
                    // A lost wake-up would hang here for ever, since no other call follows.
                    wakes.recv().unwrap();
                }
                sleep.awake();
                while wakes.try_recv().is_ok() {}
            }
        });
    }

    /// One message and one sleep, on lines of the cache of their own.
    #[derive(Default)]
    struct Meeting {
        sleep: CachePadded<Sleep>,
        visible: CachePadded<AtomicBool>,
        arrived: CachePadded<AtomicU32>,
    }

    impl Meeting {
        /// Waits for the other side, and then a little while.
        fn begin(&self, pause: usize) {
            // The other thread may wait for the core of this one.
            const SPINS_MAX: u32 = 2000;
            self.arrived.fetch_add(1, Ordering::AcqRel);
            let mut spins = 0;
            while self.arrived.load(Ordering::Acquire) < 2 && spins < SPINS_MAX {
                spins += 1;
            }
            for _ in 0..pause {
                std::hint::spin_loop();
            }
        }
    }

    #[test]
    fn a_message_is_seen_by_its_receiver_or_its_sender_sees_the_sleep() {
        // Each side stores and then loads. Without one of the fences a processor may load first,
        // and some of these messages are lost.
        const ROUNDS: usize = 25;
        const MEETINGS: usize = 1000;
        let mut lost = 0;
        for _ in 0..ROUNDS {
            let meetings: Vec<Meeting> = (0..MEETINGS).map(|_| Meeting::default()).collect();
            let (seen, woken) = std::thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    let send = |(at, meeting): (usize, &Meeting)| {
                        meeting.begin(at % 7);
                        meeting.visible.store(true, Ordering::Relaxed);
                        meeting.sleep.should_wake()
                    };
                    meetings.iter().enumerate().map(send).collect::<Vec<bool>>()
                });
                let receive = |(at, meeting): (usize, &Meeting)| {
                    meeting.begin(at % 11);
                    meeting.sleep.prepare_to_sleep();
                    meeting.visible.load(Ordering::Relaxed)
                };
                let seen: Vec<bool> = meetings.iter().enumerate().map(receive).collect();
                (seen, sender.join().expect("the sender does not panic"))
            });
            lost += seen
                .iter()
                .zip(woken)
                .filter(|(seen, woken)| !**seen && !*woken)
                .count();
        }
        assert_eq!(lost, 0, "of {} messages", ROUNDS * MEETINGS);
    }

    #[test]
    fn a_wake_makes_the_descriptor_readable_until_cleared() {
        let wake = WakeFd::open().unwrap();
        let is_set = || (&wake.event.file).read(&mut [0; 8]).is_ok();
        assert!(!is_set());
        let waker = wake.waker();
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert!(is_set());
        wake.waker().wake();
        wake.clear();
        assert!(!is_set());
    }
}
