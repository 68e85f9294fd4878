//! Bytes come whole, within their limit, and never make a shard wait.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::SystemTime;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{DirectoryLimits, FilesError, Shard, kind, open, tree};
use crate::files::directory::Directory;
use crate::files::opened::Opened;

fn of_at_most(file_bytes_max: u64) -> DirectoryLimits {
    DirectoryLimits {
        file_bytes_max,
        ..DirectoryLimits::default()
    }
}

/// Descriptors that this process holds below `root`.
fn held_below(root: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").expect("the system shows descriptors");
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.starts_with(root) && path != root)
        .count()
}

#[test]
fn reads_files_of_every_size() {
    let root = tree(&["deep/er/"]);
    let directory = open(root.path(), DirectoryLimits::default());
    Shard::run(1, async |shard| {
        for size in [0, 1, 4095, 4096, 4097, 262_143, 262_144, 262_145, 1_000_003] {
            let content: Vec<u8> = (0..size).map(|at: usize| (at * 31 / 8) as u8).collect();
            let relative = format!("deep/er/größe {size}");
            fs::write(root.path().join(&relative), &content).expect("it can be written");
            let read = shard.read(&directory, &relative).await;
            let read = read.unwrap_or_else(|error| panic!("{relative}: {error}"));
            assert!(read == content, "{relative}: {} bytes", read.len());
        }
    });
}

#[test]
fn reads_a_file_of_unknown_size_to_its_end() {
    // Files of proc(5) report a size of 0, and are read in pieces.
    let directory = open(Path::new("/proc/self"), DirectoryLimits::default());
    let tiny = open(Path::new("/proc/self"), of_at_most(100));
    Shard::run(1, async |shard| {
        let limits = shard.read(&directory, "limits").await.expect("it is there");
        let expected = fs::read("/proc/self/limits").expect("it is there");
        assert_eq!(limits, expected);
        // A mapping may come or go at any time, so only the form of the last line is known.
        let maps = shard.read(&directory, "maps").await.expect("it is there");
        assert!(maps.len() > 4096, "{} bytes", maps.len());
        let maps = String::from_utf8(maps).expect("it is text");
        assert!(maps.contains("[stack]") && maps.ends_with('\n'), "{maps}");
        assert_eq!(kind(&shard.read(&tiny, "limits").await), "too large");
    });
}

#[test]
fn refuses_a_file_longer_than_the_limit() {
    let root = tree(&[]);
    fs::write(root.path().join("a"), [7; 5000]).expect("it can be written");
    Shard::run(1, async |shard| {
        for (limit, expected) in [(5000, "ok"), (u64::MAX, "ok"), (4999, "too large")] {
            let directory = open(root.path(), of_at_most(limit));
            let read = shard.read(&directory, "a").await;
            assert_eq!(kind(&read), expected, "limit of {limit}");
        }
        let error = shard.read(&open(root.path(), of_at_most(0)), "a").await;
        let error = error.expect_err("it is longer");
        assert!(matches!(error, FilesError::TooLarge { limit_bytes: 0 }));
        assert_eq!(error.to_string(), "file exceeds limit of 0 bytes");
    });
}

/// Virtual memory that this process has had at once, in bytes.
fn peak_virtual_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the system shows it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.expect("a number of KiB") * 1024
}

#[test]
fn no_memory_is_reserved_for_a_file_that_is_too_large() {
    const FILE_BYTES: u64 = 1 << 42;
    let root = tree(&[]);
    let path = root.path().join("sparse");
    let file = File::create(&path).expect("it can be made");
    file.set_len(FILE_BYTES).expect("files may have holes");
    let directory = open(root.path(), of_at_most(1 << 20));
    Shard::run(1, async |shard| {
        let before_bytes = peak_virtual_bytes();
        let read = shard.read(&directory, "sparse").await;
        assert_eq!(kind(&read), "too large");
        // Other tests run meanwhile, and need far less.
        assert!(peak_virtual_bytes() - before_bytes < FILE_BYTES / 2);
    });
}

#[test]
fn a_file_that_has_grown_since_it_was_opened_is_read_up_to_the_limit() {
    let root = tree(&[]);
    let path = root.path().join("a");
    fs::write(&path, [7; 600_000]).expect("it can be written");
    for size_bytes in [0, 1, 10_000, 599_999, 600_000, 700_000] {
        for (limit, expected) in [(599_999, "too large"), (600_000, "ok"), (800_000, "ok")] {
            let opened = Opened {
                fd: File::open(&path).expect("it is there").into(),
                size_bytes,
                modified: SystemTime::now(),
            };
            let expected = if size_bytes > limit {
                "too large"
            } else {
                expected
            };
            let read = opened.read_whole(limit);
            assert_eq!(kind(&read), expected, "{size_bytes} then, limit of {limit}");
            assert!(read.is_err() || read.is_ok_and(|read| read == [7; 600_000]));
        }
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_ends_at_the_limit() {
    const LIMIT: u64 = 1 << 20;
    let root = tree(&["log"]);
    let directory = open(root.path(), of_at_most(LIMIT));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let path = root.path().join("log");
        scope.spawn(|| {
            let mut log = File::options().append(true).open(path).expect("it exists");
            while !is_over.load(Ordering::Relaxed) {
                log.write_all(&[b'x'; 1000]).expect("it can be written");
            }
        });
        Shard::run(1, async |shard| {
            loop {
                match shard.read(&directory, "log").await {
                    Ok(read) => assert!(read.len() as u64 <= LIMIT),
                    Err(FilesError::TooLarge { limit_bytes: LIMIT }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn irregular_files_are_refused_at_once() {
    let root = tree(&["directory/"]);
    let fifo = root.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a pipe can be made");
    let _listener = UnixListener::bind(root.path().join("socket")).expect("it can be bound");
    let directory = open(root.path(), DirectoryLimits::default());
    let devices = open(Path::new("/dev"), DirectoryLimits::default());
    Shard::run(1, async |shard| {
        for (directory, relative) in [
            (&directory, "directory"),
            (&directory, "fifo"),
            (&directory, "socket"),
            (&devices, "zero"),
            (&devices, "null"),
        ] {
            let read = shard.read(directory, relative).await;
            assert_eq!(kind(&read), "not a file", "{relative}");
        }
    });
}

#[test]
fn only_what_the_kernel_does_not_have_in_its_caches_goes_to_the_pool() {
    let root = tree(&["a"]);
    let directory = open(root.path(), DirectoryLimits::default());
    Shard::run(0, async |shard| {
        assert_eq!(kind(&shard.read(&directory, "a").await), "ok");
        // No lookup of it happened before, so the kernel must query the file system.
        assert_eq!(kind(&shard.read(&directory, "b").await), "overloaded");
        // Copying it would keep the shard from other work.
        let long = root.path().join("long");
        fs::write(&long, [7; 65_537]).expect("it can be written");
        assert_eq!(kind(&shard.read(&directory, "long").await), "overloaded");
    });
    Shard::run(1, async |shard| {
        assert_eq!(kind(&shard.read(&directory, "c").await), "not found");
        // The entries of a thread are made at their first lookup.
        let (request, requested) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let requested_name = thread::Builder::new()
            .name("asked for".to_owned())
            .spawn(move || {
                let id = own_thread_id();
                request.send(id).expect("the test waits for it");
                ended.recv().expect("the test ends it");
            })
            .expect("a thread can be started");
        let id: String = requested.recv().expect("the thread tells it");
        let task = open(Path::new("/proc/self/task"), DirectoryLimits::default());
        let comm = format!("{id}/comm");
        assert!(task.0.open_cached_file(&comm).is_none());
        let read = shard.read(&task, &comm).await;
        assert_eq!(read.expect("the thread runs"), b"asked for\n");
        end.send(()).expect("the thread waits for it");
        requested_name.join().expect("it does not panic");
    });
}

/// The id that proc(5) knows the calling thread by.
fn own_thread_id() -> String {
    let own = fs::read_link("/proc/thread-self").expect("the system shows threads");
    let id = own.file_name().expect("it ends with the id");
    id.to_str().expect("it is a number").to_owned()
}

#[test]
fn descriptors_are_closed_whether_a_read_ends_or_is_given_up() {
    const READS: usize = 200;
    let root = tree(&["a"]);
    fs::write(root.path().join("big"), vec![7; 3 << 20]).expect("it can be written");
    let directory = open(root.path(), DirectoryLimits::default());
    Shard::run(1, async |shard| {
        for _ in 0..READS {
            shard.read(&directory, "a").await.expect("it is there");
            let mut given_up = Box::pin(directory.read(&shard.call, "big"));
            std::future::poll_fn(|context| {
                // It waits for the pool, unless that was very fast.
                let _ = given_up.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }
        // The only thread of the pool has dropped all that was given up when it comes to this.
        shard.read(&directory, "big").await.expect("it is there");
        let held = held_below(root.path());
        assert!(held <= 4, "{held} of {READS} files are still open");
    });
}

#[test]
fn is_the_directory_it_was_when_opened() {
    let root = tree(&["one/a", "other/a"]);
    let directory = open(&root.path().join("one"), DirectoryLimits::default());
    fs::rename(root.path().join("one"), root.path().join("former")).expect("it can be renamed");
    fs::rename(root.path().join("other"), root.path().join("one")).expect("it can be renamed");
    Shard::run(1, async |shard| {
        assert_eq!(
            shard.read(&directory, "a").await.expect("it is there"),
            b"one/a"
        );
    });
}

#[test]
fn only_a_directory_can_be_opened() {
    let root = tree(&["a"]);
    for path in ["a", "none", "a/b"] {
        let opened = Directory::open(&root.path().join(path), DirectoryLimits::default());
        assert_eq!(kind(&opened), "io", "{path}");
    }
}

#[test]
fn shards_can_share_a_directory() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Directory>();
}
