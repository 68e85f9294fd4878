//! The same messages over every transport, and lines on sockets.

#[path = "lines/departures.rs"]
mod departures;
#[path = "lines/eras.rs"]
pub(crate) mod eras;
#[path = "lines/random.rs"]
mod random;
#[path = "lines/sizes.rs"]
mod sizes;
#[path = "lines/sockets.rs"]
mod sockets;

use corelane_tests::{Channel, Client, Server, Setup};
use tempfile::TempDir;

/// A client over any transport.
type AnyClient = Client<Box<dyn Channel>>;

/// A server that listens on each kind of address with lines.
struct LineServer {
    server: Server,
    _directory: TempDir,
}

impl LineServer {
    fn start(setup: Setup) -> LineServer {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("socket");
        let name = directory.path().file_name().expect("a name");
        let setup = setup
            .listen("tcp://127.0.0.1:0")
            .listen("tcp://[::1]:0")
            .listen(&format!("unix://{}", path.display()))
            .listen(&format!("unix://@{}", name.display()));
        LineServer {
            server: setup.start(),
            _directory: directory,
        }
    }

    /// Its addresses with lines.
    fn lines(&self) -> &[String] {
        &self.server.addresses()[1..]
    }
}

/// Runs a test over each transport: lines on each kind of socket, HTTP, standard input and output.
fn over_each(test: impl Fn(&mut AnyClient)) {
    let lines = LineServer::start(Setup::shards(2));
    for address in lines.lines() {
        let mut client = Client::of_lines(address).boxed();
        test(&mut client);
        client.finish();
    }
    test(&mut Client::of_http(lines.server.address()).boxed());
    test(&mut Client::over(
        Setup::bare(&[]).start_stdio().into_channel(),
    ));
}
