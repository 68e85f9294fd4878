//! Records of the log on their way to the thread that writes them.
//!
//! Invariant: adding a record never waits, and the waiting records have at most
//! [`WAITING_BYTES_MAX`] bytes. A record that does not fit is dropped and counted, and the count is
//! reported as soon as a record fits again.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};

/// Bytes of all records that wait.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes of a record beside its text: short records are bounded, too.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// How long [`LogQueue::flush`] waits.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes of one write, if it has several records: more may be torn apart in a pipe that other
/// processes write to (PIPE_BUF of pipe(7)).
const BATCH_BYTES_MAX: usize = 4096;
/// The writing thread rests so long once it has written all, so that records which follow each
/// other wake it once.
const REST: Duration = Duration::from_millis(1);
/// How often records that were dropped are reported while more are dropped.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    /// The report of the writing thread is not counted: there is one at a time.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// The end of the queue where records are left. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LogQueue {
    messages: Sender<Message>,
    load: Arc<Load>,
}

/// The end of the queue where records are written.
#[derive(Debug)]
pub(super) struct LogWriter {
    messages: Receiver<Message>,
    load: Arc<Load>,
}

#[derive(Debug, Default)]
struct Load {
    /// Bytes of records that wait.
    waiting_bytes: AtomicUsize,
    /// Records that were dropped and not reported.
    dropped: AtomicU64,
    /// Records that were dropped and reported.
    reported: AtomicU64,
}

/// Records of one write.
#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    /// Their part of the bytes that wait.
    load: usize,
}

#[derive(Debug)]
enum Message {
    Record(Box<[u8]>),
    /// To be answered when everything before it is written.
    Flush(Sender<()>),
}

fn load_of(record: &[u8]) -> usize {
    record.len() + RECORD_OVERHEAD_BYTES
}

impl LogQueue {
    /// Both ends of an empty queue.
    pub(super) fn new() -> (LogQueue, LogWriter) {
        let (sender, receiver) = unbounded();
        let load = Arc::new(Load::default());
        let queue = LogQueue {
            messages: sender,
            load: Arc::clone(&load),
        };
        let writer = LogWriter {
            messages: receiver,
            load,
        };
        (queue, writer)
    }

    /// Waits until all earlier records are written, at most [`FLUSH_WAIT_MAX`].
    pub(super) fn flush(&self) {
        let (written, is_written) = bounded(1);
        if self.messages.send(Message::Flush(written)).is_ok() {
            let _ = is_written.recv_timeout(FLUSH_WAIT_MAX);
        }
    }

    /// How many records were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.load.reported.load(Ordering::Relaxed) + self.load.dropped.load(Ordering::Relaxed)
    }

    fn leave(&self, record: &[u8]) {
        let (load, bytes) = (&self.load, load_of(record));
        let before = load.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > WAITING_BYTES_MAX && !IS_WRITER.get() {
            load.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            load.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            let _ = self.messages.send(Message::Record(record.into()));
        }
    }
}

/// Each write is one record: that is how a subscriber writes.
impl Write for LogQueue {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.leave(record);
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogWriter {
    /// Starts the thread that writes records to `sink`. `report` logs how many were dropped.
    pub(super) fn start(
        self,
        sink: impl Write + Send + 'static,
        report: impl FnMut(u64) + Send + 'static,
    ) -> io::Result<()> {
        let write = move || self.write_to(sink, report);
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(())
    }

    /// Writes a batch, which is empty then.
    fn write(&self, batch: &mut Batch, sink: &mut impl Write) {
        // A closed reader loses the log, which has no other effect.
        let _ = sink.write_all(&batch.text);
        let _ = sink.flush();
        batch.text.clear();
        let load = std::mem::take(&mut batch.load);
        self.load.waiting_bytes.fetch_sub(load, Ordering::Relaxed);
    }

    fn write_to(self, mut sink: impl Write, mut report: impl FnMut(u64)) {
        IS_WRITER.set(true);
        let mut reported: Option<Instant> = None;
        let mut batch = Batch::default();
        for message in &self.messages {
            match message {
                Message::Record(record) => {
                    if batch.text.len() + record.len() > BATCH_BYTES_MAX {
                        self.write(&mut batch, &mut sink);
                    }
                    batch.load += load_of(&record);
                    batch.text.extend_from_slice(&record);
                    if self.messages.is_empty() {
                        self.write(&mut batch, &mut sink);
                        thread::sleep(REST);
                    }
                }
                Message::Flush(written) => {
                    self.write(&mut batch, &mut sink);
                    let _ = written.send(());
                }
            }
            let is_due = self.messages.is_empty()
                || reported.is_none_or(|reported| reported.elapsed() >= REPORT_INTERVAL);
            if is_due && self.load.dropped.load(Ordering::Relaxed) > 0 {
                let dropped = self.load.dropped.swap(0, Ordering::Relaxed);
                self.load.reported.fetch_add(dropped, Ordering::Relaxed);
                report(dropped);
                reported = Some(Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::{BATCH_BYTES_MAX, LogQueue, RECORD_OVERHEAD_BYTES, WAITING_BYTES_MAX};

    /// A sink that takes a write at the test's command, and then shows its bytes.
    struct Gate {
        may_write: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, record: &[u8]) -> io::Result<usize> {
            // Open once the test has let go of its end.
            let _ = self.may_write.recv();
            let text = String::from_utf8_lossy(record).into_owned();
            let _ = self.written.send(text);
            Ok(record.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_sink_delays_no_thread_and_dropped_records_are_reported() {
        let (mut queue, writer) = LogQueue::new();
        let ((open, may_write), (written, records)) = (channel(), channel());
        let mut reports = queue.clone();
        let report = move |dropped| {
            let text = format!("dropped {dropped}");
            reports.write_all(text.as_bytes()).expect("it is left");
        };
        writer
            .start(Gate { may_write, written }, report)
            .expect("a thread starts");
        let record = [b'x'; 1024];
        let fit = WAITING_BYTES_MAX / (record.len() + RECORD_OVERHEAD_BYTES);
        for _ in 0..fit + 10 {
            queue.write_all(&record).expect("nothing fails");
        }
        drop(open);
        queue.flush();
        queue.write_all(b"later").expect("there is room again");
        let mut text = String::new();
        while !(text.contains("dropped 10") && text.contains("later")) {
            text += &records.recv().expect("the thread writes");
        }
        assert_eq!(text.matches('x').count(), fit * record.len());
    }

    #[test]
    fn records_are_written_in_order_before_a_flush_ends() {
        let (mut queue, writer) = LogQueue::new();
        let ((open, may_write), (written, records)) = (channel(), channel());
        drop(open);
        writer
            .start(Gate { may_write, written }, |_| ())
            .expect("a thread starts");
        let long = "x".repeat(BATCH_BYTES_MAX - 1);
        for text in ["one", "two", &long, "three"] {
            queue.write_all(text.as_bytes()).expect("it is left");
        }
        queue.flush();
        let written: Vec<String> = records.try_iter().collect();
        assert_eq!(written.concat(), format!("onetwo{long}three"));
        assert!(written.iter().all(|it| it.len() <= BATCH_BYTES_MAX));
    }
}
