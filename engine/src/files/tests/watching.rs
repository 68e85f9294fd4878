//! Changes are reported. The absence of a report is shown by a later change that is reported.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use tempfile::TempDir;

use super::{DirectoryLimits, PATIENCE, following, open, tree};
use crate::files::{Change, Watch};

const LISTED: &str = " listed";
const EVERYTHING: &str = " everything";
/// The first character of the names of marker files; it sorts behind other names.
const MARK: char = '~';
/// How many of them a watched directory has.
const MARKS: usize = 16;

struct Watched {
    root: TempDir,
    /// Written to once each, and kept open: closing would be a second event, perhaps reported
    /// later.
    marks: RefCell<Vec<(String, File)>>,
    changes: Receiver<Change>,
    watch: Watch,
}

impl Watched {
    fn new(names: &[&str], limits: DirectoryLimits) -> Watched {
        Watched::of(tree(names), limits, send_all)
    }

    fn of<F: Fn(Change) + Send + 'static>(
        root: TempDir,
        limits: DirectoryLimits,
        on_change: impl FnOnce(Sender<Change>) -> F,
    ) -> Watched {
        let marks = (0..MARKS).map(|number| {
            let name = format!("{MARK}{number}");
            let file = File::create(root.path().join(&name));
            (name, file.expect("it can be made"))
        });
        let marks = RefCell::new(marks.collect());
        let (sender, changes) = channel();
        let directory = open(root.path(), limits);
        let watch = Watch::start(&directory, on_change(sender)).expect("it can be watched");
        Watched {
            root,
            marks,
            changes,
            watch,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn next(&self) -> Change {
        self.changes
            .recv_timeout(PATIENCE)
            .expect("a change is told")
    }

    /// Makes a change that comes after all others, and returns the name of its report.
    fn mark(&self) -> String {
        let (name, mut file) = self.marks.borrow_mut().pop().expect("there are enough");
        file.write_all(b"x").expect("it can be written");
        name
    }

    /// The reports of all changes so far, in the order of names.
    fn all_reported(&self) -> Vec<String> {
        let mut mark = self.mark();
        let mut reported = Vec::new();
        loop {
            match self.next() {
                Change::Modified(mut names) => {
                    let is_marked = names.contains(&mark);
                    names.retain(|name| !name.starts_with(MARK));
                    reported.extend(names);
                    if is_marked {
                        break;
                    }
                }
                Change::Listed => reported.push(LISTED.to_owned()),
                Change::Everything => {
                    reported.push(EVERYTHING.to_owned());
                    // The mark may be included.
                    mark = self.mark();
                }
            }
        }
        reported.sort();
        reported
    }

    /// The same, each once.
    fn reported(&self) -> Vec<String> {
        let mut reported = self.all_reported();
        reported.dedup();
        reported
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(self.reported(), expected);
    }
}

fn send_all(changes: Sender<Change>) -> impl Fn(Change) + Send + 'static {
    move |change| changes.send(change).expect("the test outlives its watch")
}

fn write(path: &Path) {
    fs::write(path, "new").expect("it can be written");
}

fn append(path: &Path) {
    let file = File::options().append(true).open(path);
    let written = file.expect("it exists").write_all(b"more");
    written.expect("it can be written");
}

#[test]
fn reports_files_written_created_replaced_and_removed() {
    let watched = Watched::new(&["a", "d/a", "d/e/a"], DirectoryLimits::default());
    watched.check(&[]);
    append(&watched.path("a"));
    append(&watched.path("d/e/a"));
    watched.check(&["a", "d/e/a"]);
    write(&watched.path("d/b"));
    watched.check(&[LISTED, "d/b"]);
    fs::rename(watched.path("d/b"), watched.path("d/a")).expect("it can be renamed");
    watched.check(&[LISTED, "d/a", "d/b"]);
    fs::remove_file(watched.path("a")).expect("it can be removed");
    watched.check(&[LISTED, "a"]);
    fs::rename(watched.path("d/e/a"), watched.path("b")).expect("it can be renamed");
    watched.check(&[LISTED, "b", "d/e/a"]);
    File::open(watched.path("b")).expect("it is there");
    watched.check(&[]);
}

#[test]
fn each_write_to_an_open_file_is_reported() {
    let watched = Watched::new(&["log"], DirectoryLimits::default());
    let log = File::options().append(true).open(watched.path("log"));
    let mut log = log.expect("it exists");
    for _ in 0..3 {
        log.write_all(b"line\n").expect("it can be written");
        watched.check(&["log"]);
    }
}

#[test]
fn directories_that_appear_are_watched() {
    let watched = Watched::new(&[], DirectoryLimits::default());
    // Files may be there before the watch is.
    fs::create_dir_all(watched.path("a/b/c")).expect("they can be made");
    for name in ["a/x", "a/b/y", "a/b/c/z"] {
        write(&watched.path(name));
    }
    watched.check(&[LISTED, "a/b/c/z", "a/b/y", "a/x"]);
    for name in ["a/x", "a/b/y", "a/b/c/z"] {
        append(&watched.path(name));
    }
    watched.check(&["a/b/c/z", "a/b/y", "a/x"]);
    fs::remove_dir_all(watched.path("a")).expect("they can be removed");
    watched.check(&[LISTED, "a/b/c/z", "a/b/y", "a/x"]);
    fs::create_dir(watched.path("a")).expect("it can be made");
    write(&watched.path("a/x"));
    watched.check(&[LISTED, "a/x"]);
}

#[test]
fn directories_that_move_change_the_names_of_all_below() {
    let watched = Watched::new(&["a/b/x", "a/y"], DirectoryLimits::default());
    let outside = tree(&["o/p/x"]);
    fs::rename(watched.path("a"), watched.path("c")).expect("it can be renamed");
    assert!(watched.reported().contains(&EVERYTHING.to_owned()));
    append(&watched.path("c/b/x"));
    append(&watched.path("c/y"));
    watched.check(&["c/b/x", "c/y"]);
    // Moved out of the tree, and replaced by another.
    fs::rename(watched.path("c"), outside.path().join("c")).expect("it can be renamed");
    fs::rename(outside.path().join("o"), watched.path("c")).expect("it can be renamed");
    assert!(watched.reported().contains(&EVERYTHING.to_owned()));
    append(&outside.path().join("c/b/x"));
    append(&watched.path("c/p/x"));
    watched.check(&["c/p/x"]);
}

#[test]
fn changes_of_hidden_files_are_reported_if_they_are_shown() {
    let names = &[".env", ".git/config", "a"];
    let watched = Watched::new(names, DirectoryLimits::default());
    append(&watched.path(".env"));
    write(&watched.path(".new"));
    append(&watched.path(".git/config"));
    watched.check(&[]);
    let limits = DirectoryLimits {
        shows_hidden: true,
        ..DirectoryLimits::default()
    };
    let watched = Watched::new(names, limits);
    append(&watched.path(".env"));
    append(&watched.path(".git/config"));
    watched.check(&[".env", ".git/config"]);
}

#[test]
fn where_links_are_followed_any_change_may_be_of_any_name() {
    let changes: [fn(&Watched); 4] = [
        |watched| symlink(".v1", watched.path("new")).expect("a link can be made"),
        |watched| {
            let (next, current) = (watched.path(".next"), watched.path("current"));
            fs::rename(next, current).expect("it can be renamed");
        },
        |watched| append(&watched.path(".v2/a")),
        |watched| fs::remove_file(watched.path("a")).expect("it can be removed"),
    ];
    for change in changes {
        let root = tree(&[".v1/a", ".v2/a", "a"]);
        symlink(".v1", root.path().join("current")).expect("a link can be made");
        symlink(".v2", root.path().join(".next")).expect("a link can be made");
        let watched = Watched::of(root, following(), send_all);
        change(&watched);
        assert_eq!(watched.next(), Change::Everything);
    }
}

#[test]
fn links_to_directories_are_not_watched_through() {
    let outside = tree(&["a"]);
    let watched = Watched::new(&[], DirectoryLimits::default());
    symlink(outside.path(), watched.path("out")).expect("a link can be made");
    watched.check(&[LISTED, "out"]);
    append(&outside.path().join("a"));
    write(&outside.path().join("b"));
    watched.check(&[]);
}

#[test]
fn no_more_directories_are_watched_than_the_limit() {
    let limits = DirectoryLimits {
        watches_max: 2,
        ..DirectoryLimits::default()
    };
    let watched = Watched::new(&["a/x"], limits);
    fs::create_dir(watched.path("b")).expect("it can be made");
    watched.check(&[LISTED]);
    write(&watched.path("b/y"));
    append(&watched.path("a/x"));
    watched.check(&["a/x"]);
    // A removed directory frees a watch for a new one.
    fs::remove_dir_all(watched.path("a")).expect("it can be removed");
    watched.check(&[LISTED, "a/x"]);
    fs::create_dir(watched.path("c")).expect("it can be made");
    watched.check(&[LISTED]);
    write(&watched.path("c/z"));
    watched.check(&[LISTED, "c/z"]);
}

#[test]
fn directories_deeper_than_the_limit_are_not_watched() {
    let limits = DirectoryLimits {
        depth_max: 1,
        ..DirectoryLimits::default()
    };
    let watched = Watched::new(&["a/x", "a/b/y"], limits);
    append(&watched.path("a/x"));
    append(&watched.path("a/b/y"));
    watched.check(&["a/x"]);
}

/// A watch whose thread waits within its first report until it may continue.
fn held(names: &[&str]) -> (Watched, Sender<()>) {
    let (go_on, may_go_on) = channel::<()>();
    let watched = Watched::of(tree(names), DirectoryLimits::default(), |changes| {
        move |change| {
            changes.send(change).expect("the test outlives its watch");
            // Later reports find the channel closed and do not wait.
            may_go_on.recv().unwrap_or(());
        }
    });
    append(&watched.path("first"));
    assert_eq!(watched.next(), Change::Modified(vec!["first".to_owned()]));
    (watched, go_on)
}

#[test]
fn many_writes_are_one_change() {
    let (watched, go_on) = held(&["first", "a"]);
    for _ in 0..100 {
        append(&watched.path("a"));
    }
    drop(go_on);
    let reported = watched.all_reported();
    assert_eq!(
        reported.iter().filter(|name| *name == "a").count(),
        1,
        "{reported:?}"
    );
}

#[test]
fn events_the_kernel_lost_are_everything() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let limit: usize = limit
        .expect("it is shown")
        .trim()
        .parse()
        .expect("it is a number");
    let (watched, go_on) = held(&["first", "a", "b"]);
    // In turns, because the kernel joins events that are the same.
    let [mut a, mut b] = ["a", "b"].map(|name| {
        let file = File::options().append(true).open(watched.path(name));
        file.expect("it exists")
    });
    for _ in 0..=limit / 2 {
        a.write_all(b"x").expect("it can be written");
        b.write_all(b"x").expect("it can be written");
    }
    fs::create_dir(watched.path("unseen")).expect("it can be made");
    write(&watched.path("unseen/x"));
    drop(go_on);
    while watched.next() != Change::Everything {}
    // Every directory is watched, even if the event of its creation was lost.
    append(&watched.path("unseen/x"));
    watched.check(&["unseen/x"]);
}

#[test]
fn dropping_it_ends_its_thread() {
    let watched = Watched::new(&["a"], DirectoryLimits::default());
    // Something may be waiting to be reported.
    append(&watched.path("a"));
    let Watched { changes, watch, .. } = watched;
    drop(watch);
    // The thread owned the other end.
    while let Ok(change) = changes.try_recv() {
        assert_eq!(change, Change::Modified(vec!["a".to_owned()]));
    }
    let ended = changes.recv_timeout(std::time::Duration::ZERO);
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_panic_of_the_listener_ends_its_thread_only() {
    let watched = Watched::of(tree(&["a"]), DirectoryLimits::default(), |changes| {
        move |change| {
            changes.send(change).expect("the test outlives its watch");
            panic!("panics on purpose");
        }
    });
    append(&watched.path("a"));
    assert_eq!(watched.next(), Change::Modified(vec!["a".to_owned()]));
    let ended = watched.changes.recv_timeout(PATIENCE);
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
    drop(watched.watch);
}

#[test]
fn the_root_may_be_empty_and_may_go() {
    let root = tree(&["d/"]);
    let directory = open(&root.path().join("d"), DirectoryLimits::default());
    let (sender, changes) = channel();
    let watch = Watch::start(&directory, move |change| {
        sender.send(change).expect("the test outlives its watch");
    });
    let watch = watch.expect("it can be watched");
    fs::rename(root.path().join("d"), root.path().join("e")).expect("it can be renamed");
    write(&root.path().join("e/a"));
    assert_eq!(changes.recv_timeout(PATIENCE), Ok(Change::Listed));
    let next = changes.recv_timeout(PATIENCE);
    assert_eq!(next, Ok(Change::Modified(vec!["a".to_owned()])));
    fs::remove_dir_all(root.path().join("e")).expect("it can be removed");
    while changes.recv_timeout(PATIENCE).expect("a change is told") != Change::Listed {}
    drop(watch);
}
