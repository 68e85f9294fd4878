//! Unix sockets that are listened on, and their files.
//!
//! The file of a server that ended without removing it is left: connecting to it is refused, and
//! binding to its path fails. Such a file is removed when a server starts, if it is a socket and
//! nothing listens on it. (Two servers that start at the same moment on one such path may both
//! remove it; the first one is then reached by nobody.)
//!
//! Simple version: umask(2) around bind(2) sets the permissions of the file. Deviation: the mask is
//! that of the whole process. The file gets the permissions of the socket's own inode instead,
//! which are set before (unix(7)), so that there is no moment at which others may connect.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::profile::{Unix, UnixName};

/// Files that name users and groups: passwd(5), group(5).
const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// Why a Unix socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum UnixListenError {
    /// Another program listens there.
    #[error("{name} is taken: stop the program that listens there (ss -lxp) or choose another one")]
    InUse {
        /// The name.
        name: UnixName,
    },
    /// Something else has this path.
    #[error("{} is there and is no socket: remove it or choose another path", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// A user or a group that the host does not have.
    #[error("unix.{knob} = {name:?} is not in {file}: give a name from there, or a number")]
    Unknown {
        /// The knob.
        knob: &'static str,
        /// Its value.
        name: String,
        /// Where names are looked up.
        file: &'static str,
    },
    /// The file cannot be given to another user or group.
    #[error(
        "cannot set the owner or the group of {}: {error}; a process may give its files to a group \
         it is in, and needs CAP_CHOWN for others", path.display()
    )]
    Owner {
        /// The path.
        path: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
    /// Any other refusal of the kernel.
    #[error("cannot listen on {name}: {error}; the directory must be there and writable")]
    Refused {
        /// The name.
        name: UnixName,
        /// The kernel's error.
        error: io::Error,
    },
}

/// The file of a listening socket. Dropping it removes the file, unless another file has the path
/// by then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The file itself, so that no other one can have its number.
    file: OwnedFd,
    /// Another process removes it.
    is_of_other: bool,
}

/// A socket that listens on `name`, and its file if it has one.
///
/// # Errors
/// [`UnixListenError`] when the name is taken, or the file cannot be made as the knobs have it.
pub(crate) fn listen(
    name: &UnixName,
    knobs: &Unix,
    backlog: u32,
) -> Result<(Socket, Option<SocketFile>), UnixListenError> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => UnixListenError::InUse { name: name.clone() },
        _ => UnixListenError::Refused {
            name: name.clone(),
            error,
        },
    };
    let address = address(name).map_err(refused)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(refused)?;
    let mode = Mode::from_raw_mode(knobs.mode.bits());
    rustix::fs::fchmod(&socket, mode).map_err(|error| refused(error.into()))?;
    let owner = owner_of(knobs)?;
    let bound = socket.bind(&address);
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    match (bound, name) {
        (Err(error), UnixName::Path(path)) if is_taken(&error) => {
            remove_stale(path, &address)?;
            socket.bind(&address).map_err(refused)?;
        }
        (bound, _) => bound.map_err(refused)?,
    }
    let file = match name {
        UnixName::Path(path) => Some(SocketFile::open(path).map_err(refused)?),
        UnixName::Abstract(_) => None,
    };
    if let Some(SocketFile { path, .. }) = &file {
        let (user, group) = owner;
        rustix::fs::chownat(CWD, path, user, group, AtFlags::SYMLINK_NOFOLLOW).map_err(
            |error| UnixListenError::Owner {
                path: path.clone(),
                error: error.into(),
            },
        )?;
        // The mask of the process may have taken some of them away.
        rustix::fs::chmod(path, mode).map_err(|error| refused(error.into()))?;
    }
    // No client is served before the file has its owner and mode.
    socket
        .listen(i32::try_from(backlog).unwrap_or(i32::MAX))
        .map_err(refused)?;
    Ok((socket, file))
}

/// Listens on with the socket of an earlier process that is bound to `name`. Its file stays when
/// this process ends before it [takes it over](SocketFile::set_of_other).
///
/// # Errors
/// The file is gone, or the kernel refuses.
pub(crate) fn go_on_listening(
    name: &UnixName,
    socket: Socket,
    backlog: u32,
) -> Result<(Socket, Option<SocketFile>), UnixListenError> {
    let refused = |error: io::Error| UnixListenError::Refused {
        name: name.clone(),
        error,
    };
    let mut file = match name {
        UnixName::Path(path) => Some(SocketFile::open(path).map_err(refused)?),
        UnixName::Abstract(_) => None,
    };
    file.iter_mut().for_each(|file| file.set_of_other(true));
    socket
        .listen(i32::try_from(backlog).unwrap_or(i32::MAX))
        .map_err(refused)?;
    Ok((socket, file))
}

fn address(name: &UnixName) -> io::Result<SockAddr> {
    match name {
        UnixName::Path(path) => SockAddr::unix(path),
        UnixName::Abstract(name) => SockAddr::unix(format!("\0{name}")),
    }
}

/// Removes the file at `path` if it is a socket on which nothing listens.
fn remove_stale(path: &Path, address: &SockAddr) -> Result<(), UnixListenError> {
    let refused = |error| UnixListenError::Refused {
        name: UnixName::Path(path.to_owned()),
        error,
    };
    let metadata = fs::symlink_metadata(path).map_err(refused)?;
    if !metadata.file_type().is_socket() {
        return Err(UnixListenError::NoSocket {
            path: path.to_owned(),
        });
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(refused)?;
    // A full backlog must not hold the start up.
    socket.set_nonblocking(true).map_err(refused)?;
    match socket.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let shown = path.display();
            tracing::info!(path = %shown, "the socket of a server that has ended is removed");
            fs::remove_file(path).map_err(refused)
        }
        _ => Err(UnixListenError::InUse {
            name: UnixName::Path(path.to_owned()),
        }),
    }
}

/// The user and the group of the knobs, if they are set.
fn owner_of(knobs: &Unix) -> Result<(Option<Uid>, Option<Gid>), UnixListenError> {
    let number = |knob, name: &Option<String>, file| match name {
        None => Ok(None),
        Some(name) => number_of(name, file).map(Some).ok_or_else(|| {
            let name = name.clone();
            UnixListenError::Unknown { knob, name, file }
        }),
    };
    let user = number("owner", &knobs.owner, USERS)?;
    let group = number("group", &knobs.group, GROUPS)?;
    Ok((user.map(Uid::from_raw), group.map(Gid::from_raw)))
}

/// The number of a user or a group: both files have it in the third column, behind the name.
fn number_of(name: &str, file: &str) -> Option<u32> {
    let number = |text: &str| text.parse().ok().filter(|number| *number != u32::MAX);
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(name);
    }
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut columns = line.split(':');
        let is_it = columns.next() == Some(name);
        columns.nth(1).filter(|_| is_it).and_then(number)
    })
}

impl SocketFile {
    /// The file at `path`, which was just made.
    fn open(path: &Path) -> io::Result<SocketFile> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(SocketFile {
            path: path.to_owned(),
            file: rustix::fs::open(path, flags, Mode::empty())?,
            is_of_other: false,
        })
    }

    /// Leaves it to another process, or takes it over from one.
    pub(crate) fn set_of_other(&mut self, is_of_other: bool) {
        self.is_of_other = is_of_other;
    }

    /// Whether the path still leads to it.
    fn is_in_place(&self) -> io::Result<bool> {
        let own = rustix::fs::fstat(&self.file)?;
        let found = rustix::fs::lstat(&self.path)?;
        Ok((own.st_dev, own.st_ino) == (found.st_dev, found.st_ino))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_of_other {
            return;
        }
        let removed = match self.is_in_place() {
            Ok(true) => fs::remove_file(&self.path),
            // Another server has it, or it was removed.
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "the file of the socket cannot be removed");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};

    use tempfile::TempDir;

    use super::*;

    fn knobs() -> Unix {
        Unix::default()
    }

    fn name(directory: &TempDir) -> UnixName {
        UnixName::Path(directory.path().join("socket"))
    }

    fn path(name: &UnixName) -> &Path {
        name.path().expect("it has a path")
    }

    #[test]
    fn the_file_has_the_mode_and_the_owner_of_the_knobs_and_ends_with_the_server() {
        let directory = TempDir::new().expect("a directory");
        let name = name(&directory);
        for mode in ["0600", "0666", "0077"] {
            let own = fs::metadata(directory.path()).expect("it is there").uid();
            let own = own.to_string();
            let knobs = Unix {
                mode: mode.parse().expect("a mode"),
                owner: Some(own.clone()),
                group: None,
                ..knobs()
            };
            let (_socket, file) = listen(&name, &knobs, 1).expect("nothing is there");
            let metadata = fs::metadata(path(&name)).expect("it is there");
            assert_eq!(metadata.permissions().mode() & 0o7777, knobs.mode.bits());
            assert_eq!(metadata.uid().to_string(), own);
            drop(file);
            assert!(!path(&name).exists());
        }
    }

    #[test]
    fn a_file_on_which_nothing_listens_is_replaced_and_any_other_is_not() {
        let directory = TempDir::new().expect("a directory");
        let name = name(&directory);
        drop(UnixListener::bind(path(&name)).expect("a path"));
        let (socket, file) = listen(&name, &knobs(), 1).expect("nothing listens there");
        let error = listen(&name, &knobs(), 1).expect_err("the first one listens");
        assert!(error.to_string().contains("is taken"), "{error}");
        assert!(UnixStream::connect(path(&name)).is_ok());
        drop((socket, file));
        fs::write(path(&name), "precious").expect("a file");
        let error = listen(&name, &knobs(), 1).expect_err("it is no socket");
        assert!(error.to_string().contains("is no socket"), "{error}");
        assert_eq!(fs::read(path(&name)).expect("it is there"), b"precious");
        // The target of a link is not looked at.
        let other = directory.path().join("other");
        drop(UnixListener::bind(&other).expect("a path"));
        fs::remove_file(path(&name)).expect("it is there");
        symlink(&other, path(&name)).expect("a link");
        assert!(listen(&name, &knobs(), 1).is_err());
        assert!(other.exists());
    }

    #[test]
    fn a_full_backlog_is_a_server_that_listens() {
        let directory = TempDir::new().expect("a directory");
        let name = name(&directory);
        let _listening = listen(&name, &knobs(), 0).expect("nothing is there");
        let _waiting = UnixStream::connect(path(&name)).expect("it listens");
        let error = listen(&name, &knobs(), 1).expect_err("the first one listens");
        assert!(error.to_string().contains("is taken"), "{error}");
    }

    #[test]
    fn the_file_of_another_server_stays() {
        let directory = TempDir::new().expect("a directory");
        let name = name(&directory);
        let (socket, file) = listen(&name, &knobs(), 1).expect("nothing is there");
        drop(socket);
        let (_socket, _file) = listen(&name, &knobs(), 1).expect("nothing listens there");
        drop(file);
        assert!(UnixStream::connect(path(&name)).is_ok());
    }

    #[test]
    fn an_abstract_name_needs_no_file_and_is_taken_once() {
        let process = std::process::id();
        let name = UnixName::Abstract(format!("corelane-test-{process}"));
        let (_socket, file) = listen(&name, &knobs(), 1).expect("nothing is there");
        assert!(file.is_none());
        let error = listen(&name, &knobs(), 1).expect_err("the first one listens");
        assert!(error.to_string().contains("is taken"), "{error}");
    }

    #[test]
    fn users_and_groups_that_are_not_there_are_named_and_nothing_is_left() {
        let directory = TempDir::new().expect("a directory");
        let name = name(&directory);
        for (owner, group) in [(Some("no-such-user"), None), (None, Some("no-such-group"))] {
            let knobs = Unix {
                owner: owner.map(str::to_owned),
                group: group.map(str::to_owned),
                ..knobs()
            };
            let error = listen(&name, &knobs, 1).expect_err("it is unknown");
            assert!(error.to_string().contains("no-such-"), "{error}");
            assert!(!path(&name).exists());
        }
        assert_eq!(number_of("root", USERS), Some(0));
        assert_eq!(number_of("0", GROUPS), Some(0));
        assert_eq!(number_of("4294967295", USERS), None);
    }
}
