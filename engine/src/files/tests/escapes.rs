//! No name, link or race leads outside.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{DirectoryLimits, FilesError, PATIENCE, Shard, following, kind, open, tree};

/// Stops the thread that it was lent to, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn names_that_lead_outside_are_not_found() {
    let outer = tree(&["secret", "root/a", "root/d/a"]);
    let absolute = outer.path().join("secret");
    let absolute = absolute.to_str().expect("it is text");
    let deep = format!("d/{}etc/passwd", "../".repeat(40));
    let directory = open(&outer.path().join("root"), following());
    Shard::run(1, async |shard| {
        for name in [
            "../secret",
            "d/../../secret",
            "..",
            "/etc/passwd",
            absolute,
            &deep,
        ] {
            let read = shard.read(&directory, name).await;
            assert_eq!(kind(&read), "not found", "{name}");
        }
        assert_eq!(kind(&shard.read(&directory, "d/a").await), "ok");
    });
}

#[test]
fn links_are_followed_only_where_they_stay_and_only_if_wanted() {
    let outer = tree(&["secret", "sub/secret", "root/a", "root/d/a"]);
    let root = outer.path().join("root");
    let inside = root.join("a");
    for (name, target) in [
        ("same", Path::new("a")),
        ("d/up", Path::new("../a")),
        ("sub", Path::new("d")),
        ("out", Path::new("../secret")),
        ("outer", Path::new("../sub")),
        ("d/out", Path::new("../../secret")),
        ("around", Path::new("../root/a")),
        ("absolute", inside.as_path()),
        ("system", Path::new("/etc/passwd")),
        ("top", Path::new("/")),
        ("nowhere", Path::new("none")),
        ("circle", Path::new("circle")),
    ] {
        symlink(target, root.join(name)).expect("a link can be made");
    }
    let refusing = open(&root, DirectoryLimits::default());
    let following = open(&root, following());
    Shard::run(1, async |shard| {
        for (name, stays) in [
            ("same", true),
            ("d/up", true),
            ("sub/a", true),
            ("out", false),
            ("outer/secret", false),
            ("d/out", false),
            ("around", false),
            ("absolute", false),
            ("system", false),
            ("top/etc/passwd", false),
            ("nowhere", false),
            ("circle", false),
        ] {
            let refused = shard.read(&refusing, name).await;
            assert_eq!(kind(&refused), "not found", "{name}");
            let followed = shard.read(&following, name).await;
            let expected = if stays { "ok" } else { "not found" };
            assert_eq!(kind(&followed), expected, "{name}");
        }
    });
}

#[test]
fn magic_links_are_never_followed() {
    let outside = tree(&["secret"]);
    let held = fs::File::open(outside.path().join("secret")).expect("it is there");
    let held = format!("fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
    Shard::run(1, async |shard| {
        for limits in [DirectoryLimits::default(), following()] {
            let directory = open(Path::new("/proc/self"), limits);
            for name in [held.as_str(), "exe", "root/etc/passwd", "cwd/Cargo.toml"] {
                let read = shard.read(&directory, name).await;
                assert_eq!(kind(&read), "not found", "{name}");
            }
        }
    });
}

/// Reads `name` while `one` and `other`, names in the root, are exchanged over and over; it must
/// be the content of a file inside or nothing, and each of both many times.
fn check_race(limits: DirectoryLimits, one: &str, other: &str, name: &str) {
    const SEEN_MIN: usize = 200;
    let outer = tree(&[
        "secret",
        "outside/secret",
        "root/file",
        "root/directory/secret",
    ]);
    let root = outer.path().join("root");
    symlink("../secret", root.join("link")).expect("a link can be made");
    symlink("../outside", root.join("links")).expect("a link can be made");
    let directory = open(&root, limits);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let (one, other) = (root.join(one), root.join(other));
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
                    .expect("they can be exchanged");
            }
        });
        Shard::run(1, async |shard| {
            let (mut inside, mut nothing) = (0, 0);
            let started = Instant::now();
            while inside < SEEN_MIN || nothing < SEEN_MIN {
                match shard.read(&directory, name).await {
                    Ok(content) => {
                        let content = String::from_utf8(content).expect("all files are text");
                        assert!(content.starts_with("root/"), "{name} was {content}");
                        inside += 1;
                    }
                    Err(FilesError::NotFound) => nothing += 1,
                    Err(error) => panic!("{name}: {error}"),
                }
                let waited = started.elapsed();
                assert!(
                    waited < PATIENCE,
                    "{inside} inside, {nothing} times nothing"
                );
            }
        });
    });
}

#[test]
fn a_link_that_takes_the_place_of_a_file_leads_nowhere() {
    check_race(DirectoryLimits::default(), "file", "link", "file");
    check_race(following(), "file", "link", "file");
}

#[test]
fn a_link_that_takes_the_place_of_a_directory_leads_nowhere() {
    let name = "directory/secret";
    check_race(DirectoryLimits::default(), "directory", "links", name);
    check_race(following(), "directory", "links", name);
}

#[test]
fn hidden_files_are_read_only_if_wanted() {
    let root = tree(&[".env", ".git/config", "a/.b/c", "d"]);
    let shown = DirectoryLimits {
        shows_hidden: true,
        ..DirectoryLimits::default()
    };
    let hiding = open(root.path(), DirectoryLimits::default());
    let showing = open(root.path(), shown);
    Shard::run(1, async |shard| {
        for name in [".env", ".git/config", "a/.b/c"] {
            assert_eq!(
                kind(&shard.read(&hiding, name).await),
                "not found",
                "{name}"
            );
            assert_eq!(kind(&shard.read(&showing, name).await), "ok", "{name}");
        }
    });
}
