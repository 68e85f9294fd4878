//! `corelane launch`: the start of a program that is an upstream.
//!
//! It sets what a process can set for itself only, and becomes the program: its bounds, its control
//! group, and that it is killed with the server. The death signal follows the thread that started
//! this process (prctl(2)), which the server keeps for as long as the program runs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Args;
use rustix::process::{
    Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;

/// The exit code of a program that cannot be started, as shells have it.
const CANNOT_START: u8 = 126;

/// The arguments of the command.
#[derive(Debug, Args)]
pub(crate) struct LaunchArguments {
    /// The process that starts it. If that has ended, nothing is started.
    #[arg(long, value_name = "PID")]
    parent: i32,
    /// The most bytes of its address space.
    #[arg(long, value_name = "BYTES")]
    address_space_bytes: Option<u64>,
    /// The most open files.
    #[arg(long, value_name = "N")]
    open_files: Option<u64>,
    /// The most processes of its user.
    #[arg(long, value_name = "N")]
    processes: Option<u64>,
    /// The folder of a control group (cgroups(7), version 2), which it enters.
    #[arg(long, value_name = "FOLDER")]
    control_group: Option<PathBuf>,
    /// The program, and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the command. It returns if the program cannot be started.
pub(crate) fn run(arguments: &LaunchArguments) -> ExitCode {
    let error = start(arguments).err();
    let error = error.map_or_else(String::new, |error| error.to_string());
    let program = arguments.command[0].to_string_lossy();
    eprintln!("its program does not start: {program}: {error}");
    CANNOT_START.into()
}

fn start(arguments: &LaunchArguments) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The server may have ended before that.
    if getppid().is_none_or(|parent| parent.as_raw_pid() != arguments.parent) {
        return Err(io::Error::other("its server has ended"));
    }
    if let Some(group) = &arguments.control_group {
        // It is a help, no condition: its process group is killed in any case.
        if let Err(error) = fs::write(group.join("cgroup.procs"), "0") {
            eprintln!(
                "its control group {} cannot be used: {error}",
                group.display()
            );
        }
    }
    set_no_new_privs(true)?;
    let mut command = Command::new(&arguments.command[0]);
    command.args(&arguments.command[1..]);
    for (resource, bound) in [
        (Resource::Nofile, arguments.open_files),
        (Resource::Nproc, arguments.processes),
        // The last one: it may leave this process no memory.
        (Resource::As, arguments.address_space_bytes),
    ] {
        if bound.is_some() {
            let limit = Rlimit {
                current: bound,
                maximum: bound,
            };
            setrlimit(resource, limit)?;
        }
    }
    Err(command.exec())
}
