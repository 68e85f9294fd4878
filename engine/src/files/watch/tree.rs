//! The watched directories, and the meaning of their events.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::burst::Burst;
use crate::files::directory::{Directory, Root};
use crate::files::name::{depth, join};
use crate::files::scan::Kind;

/// Bytes of events read at once: some hundred of them, and at least one of the longest.
const EVENTS_BYTES: usize = 16 << 10;

/// Events of entries that appear, disappear or are renamed.
const LISTED: ReadFlags = ReadFlags::CREATE
    .union(ReadFlags::DELETE)
    .union(ReadFlags::MOVED_FROM)
    .union(ReadFlags::MOVED_TO);

/// A watch for each directory below a root.
#[derive(Debug)]
pub(super) struct Tree {
    root: Arc<Root>,
    /// The inotify instance of the watches; never blocks.
    inotify: OwnedFd,
    /// The directory of each watch, relative to the root.
    directories: HashMap<i32, String>,
    /// The limit of watches was reached, and a warning was logged.
    is_full: bool,
    /// The kernel lost events, directories that appeared perhaps among them.
    has_lost_events: bool,
}

/// An event, taken out of the buffer it came in.
struct Event {
    watch: i32,
    flags: ReadFlags,
    /// The entry of the directory that the event is about, if any.
    name: Option<String>,
}

impl Tree {
    /// Watches the root and the directories below it.
    pub(super) fn plant(directory: Directory) -> io::Result<Tree> {
        let mut tree = Tree {
            root: directory.0,
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            directories: HashMap::new(),
            is_full: false,
            has_lost_events: false,
        };
        tree.grow(String::new(), |_| {})?;
        Ok(tree)
    }

    /// Readable when there are events.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Takes a bounded number of events off the queue and records their changes.
    ///
    /// # Errors
    /// The kernel's error for reading, and for watching the root again after it lost events.
    pub(super) fn take_events(&mut self, burst: &mut Burst) -> io::Result<()> {
        for event in self.read_events()? {
            self.note(event, burst);
        }
        if self.has_lost_events {
            // Events were lost, so the whole tree is read again. The old watches end with their
            // queue.
            *self = Tree::plant(Directory(Arc::clone(&self.root)))?;
            burst.note_everything();
        }
        Ok(())
    }

    fn read_events(&self) -> io::Result<Vec<Event>> {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => events.push(Event {
                    watch: event.wd(),
                    flags: event.events(),
                    name: event
                        .file_name()
                        .and_then(|name| name.to_str().ok())
                        .map(str::to_owned),
                }),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(events),
                Err(errno) => return Err(errno.into()),
            }
            if reader.is_buffer_empty() {
                return Ok(events);
            }
        }
    }

    fn note(&mut self, event: Event, burst: &mut Burst) {
        let has = |flags: ReadFlags| event.flags.intersects(flags);
        if has(ReadFlags::QUEUE_OVERFLOW) {
            self.has_lost_events = true;
            return;
        }
        if has(ReadFlags::UNMOUNT) {
            burst.note_everything();
            return;
        }
        if has(ReadFlags::IGNORED) {
            // The directory is gone, or is watched under another name by now.
            self.directories.remove(&event.watch);
            return;
        }
        let (Some(directory), Some(name)) = (self.directories.get(&event.watch), event.name) else {
            return;
        };
        if !self.sees_hidden() && name.starts_with('.') {
            return;
        }
        let relative = join(directory, &name);
        if has(LISTED) {
            burst.note_listed();
        }
        if self.root.limits.follow_symlinks {
            burst.note_everything();
        }
        if !has(ReadFlags::ISDIR) {
            burst.note_modified(relative);
            return;
        }
        if has(ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO) {
            // Every file below has another name.
            burst.note_everything();
        }
        if has(ReadFlags::MOVED_FROM | ReadFlags::DELETE) {
            self.fell(&relative);
        }
        if has(ReadFlags::MOVED_TO | ReadFlags::CREATE) {
            // Files may have been made in it before it was watched.
            let _ = self.grow(relative, |file| burst.note_modified(file));
        }
    }

    /// Where links are followed, a link with a visible name may lead through a hidden one.
    fn sees_hidden(&self) -> bool {
        self.root.limits.shows_hidden || self.root.limits.follow_symlinks
    }

    /// Watches `directory` and the directories below it; calls `on_file` for the files found there.
    ///
    /// # Errors
    /// When `directory` itself cannot be watched. Below it, a directory that cannot be watched was
    /// removed or is unreadable, and a full tree has been warned of.
    fn grow(&mut self, directory: String, mut on_file: impl FnMut(String)) -> io::Result<()> {
        let root = Arc::clone(&self.root);
        let sees_hidden = self.sees_hidden();
        // Each directory is watched first and read second, so that no file is missed in between.
        // Pending ones are watched already, which bounds them.
        self.watch(&directory)?;
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            let scanned = root.scan(&directory, sees_hidden, |relative, kind| {
                match kind {
                    Kind::File | Kind::Symlink => on_file(relative),
                    Kind::Directory if self.watch(&relative).is_ok() => pending.push(relative),
                    Kind::Directory => {}
                }
                true
            });
            if let Err(errno) = scanned {
                tracing::debug!(directory, %errno, "not looked into for directories to watch");
            }
        }
        Ok(())
    }

    /// Watches one directory.
    fn watch(&mut self, directory: &str) -> Result<(), Errno> {
        let watches_max = self.root.limits.watches_max;
        if depth(directory) > self.root.limits.depth_max {
            return Err(Errno::NOENT);
        }
        if self.directories.len() >= watches_max {
            self.warn_once(format_args!("{watches_max} directories are watched"));
            return Err(Errno::NOSPC);
        }
        let opened = self.root.open_directory(directory)?;
        // Named by descriptor: this is the directory below the root, even if its path leads
        // elsewhere now.
        let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::EXCL_UNLINK
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.inotify, path, flags) {
            Ok(watch) => {
                self.directories.insert(watch, directory.to_owned());
                Ok(())
            }
            Err(errno) => {
                if errno == Errno::NOSPC {
                    self.warn_once(format_args!("the user has no inotify watch left"));
                }
                Err(errno)
            }
        }
    }

    fn warn_once(&mut self, reason: std::fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::warn!("{reason}: changes in further directories are not reported");
        }
    }

    /// Ends the watches of `directory` and of the directories below it.
    fn fell(&mut self, directory: &str) {
        let Tree {
            inotify,
            directories,
            ..
        } = self;
        directories.retain(|watch, name| {
            let below = name
                .strip_prefix(directory)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if below {
                // Fails if the directory is gone, and the watch with it.
                let _ = inotify::remove_watch(&*inotify, *watch);
            }
            !below
        });
        self.is_full = false;
    }
}
