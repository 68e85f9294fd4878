//! `corelane top` in a terminal of another program: tmux.

use std::path::Path;
use std::process::{Command, Output};

use corelane_tests::{Scrape, Server, Session, Setup, binary, wait_until};
use tempfile::TempDir;

const CONNECTIONS: usize = 7;

/// A terminal without a user. It ends with the test.
struct Terminal<'t> {
    socket: &'t Path,
}

impl Terminal<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        let socket = self.socket.to_str().expect("a path");
        // The configuration of the user of the host has no effect.
        tmux.args(["-f", "/dev/null", "-S", socket]).args(arguments);
        tmux.output().expect("tmux is installed")
    }

    fn screen(&self) -> String {
        let output = self.run(&["capture-pane", "-p"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        wait_until(what, || {
            let screen = self.screen();
            holds(&screen).then_some(screen)
        })
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

fn start(folder: &TempDir) -> Server {
    let socket = folder.path().join("control.sock");
    let socket = socket.to_str().expect("a path");
    Setup::shards(2)
        .arguments(&["--control-socket", socket, "--metrics", "127.0.0.1:0"])
        .start()
}

/// The cells of a column of all shards, by the head of the column.
fn column(screen: &str, head: &str) -> Vec<String> {
    let mut lines = screen.lines().skip_while(|line| !line.contains("busy%"));
    let heads = lines.next().unwrap_or_default().split_whitespace();
    let Some(at) = heads.into_iter().position(|it| it == head) else {
        return Vec::new();
    };
    let rows = lines.take_while(|line| !line.trim().is_empty());
    let cells = rows.filter_map(|line| line.split_whitespace().nth(at));
    cells.map(str::to_owned).collect()
}

/// Whether the columns show the figures of the metrics for each shard.
fn agrees(screen: &str, server: &Server) -> bool {
    let metrics = Scrape::of(server.metrics_address());
    [
        ("conns", "corelane_connections"),
        ("sess", "corelane_sessions"),
    ]
    .into_iter()
    .all(|(head, name)| {
        let shown = column(screen, head);
        let shard = |shard: usize| metrics.sum(name, &[&format!("shard=\"{shard}\"")]);
        shown == [0, 1].map(|it| shard(it).to_string())
    })
}

#[test]
fn top_shows_the_figures_of_the_metrics_in_windows_of_any_size_and_survives_its_server() {
    let folder = TempDir::new().expect("a folder");
    let server = start(&folder);
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    let sessions = connections.iter_mut().map(Session::open).count();
    assert_eq!(sessions, CONNECTIONS);
    let place = folder.path().join("tmux");
    let terminal = Terminal { socket: &place };
    let command = format!(
        "{} top --socket {}",
        binary().display(),
        folder.path().join("control.sock").display()
    );
    let begun = terminal.run(&["new-session", "-d", "-x", "80", "-y", "24", &command]);
    assert!(begun.status.success(), "{begun:?}");
    for (columns, rows) in [("80", "24"), ("200", "60"), ("80", "24")] {
        terminal.run(&["resize-window", "-x", columns, "-y", rows]);
        let screen = terminal.wait_for("the figures of the metrics", |it| agrees(it, &server));
        let total: usize = column(&screen, "conns")
            .iter()
            .map(|it| it.parse::<usize>().expect("a number"))
            .sum();
        assert_eq!(total, CONNECTIONS, "{screen}");
        assert_eq!(screen.matches("busy%").count(), 1, "{screen}");
    }
    terminal.run(&["resize-window", "-x", "80", "-y", "5"]);
    terminal.wait_for("the note of a small window", |it| {
        it.contains("more: a higher window")
    });
    terminal.run(&["resize-window", "-x", "80", "-y", "24"]);

    drop(connections);
    server.signal("KILL");
    let _ = server.wait_for_exit();
    let screen = terminal.wait_for("the loss of the server", |it| it.contains("no answer for"));
    // The last frame stays.
    assert_eq!(column(&screen, "shard"), ["0", "1"], "{screen}");
    let server = start(&folder);
    let mut connection = server.connect();
    let _session = Session::open(&mut connection);
    terminal.wait_for("the next server", |it| {
        !it.contains("no answer for") && agrees(it, &server)
    });
}
