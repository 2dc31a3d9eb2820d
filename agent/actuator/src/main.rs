//! `holdfast-actuator`: started by its socket, or by hand with `--socket PATH --config FILE --state-dir DIR`.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use holdfast_actuator::{allowlist::Allowlist, server::Server};

const USAGE: &str = "usage: holdfast-actuator [--socket PATH] [--config FILE] [--state-dir DIR] [--idle-s SECONDS]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            // Nothing is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "holdfast-actuator: {message}");
            ExitCode::from(code)
        }
    }
}

type Failure = (u8, String);

fn run() -> Result<(), Failure> {
    let mut socket: Option<PathBuf> = None;
    let mut config = PathBuf::from("/etc/holdfast/actuator.toml");
    let mut state_dir = PathBuf::from("/var/lib/holdfast-actuator");
    let mut idle = Duration::from_mins(1);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        if let Some(text) = about(&name) {
            return writeln!(std::io::stdout(), "{text}").map_err(|e| (1, e.to_string()));
        }
        let value = args.next().ok_or((2, USAGE.to_owned()))?;
        match name.as_str() {
            "--socket" => socket = Some(value.into()),
            "--config" => config = value.into(),
            "--state-dir" => state_dir = value.into(),
            "--idle-s" => idle = Duration::from_secs(value.parse().map_err(|_| (2, USAGE.to_owned()))?),
            _ => return Err((2, USAGE.to_owned())),
        }
    }
    let allow = Allowlist::load(&config).map_err(|e| {
        let cause = std::error::Error::source(&e).map(|s| format!(": {s}")).unwrap_or_default();
        (2, format!("{e}{cause}"))
    })?;
    let server = Server::new(allow, &state_dir).map_err(|e| (1, format!("{}: {e}", state_dir.display())))?;
    let (listener, idle) = match socket {
        Some(path) => {
            // A socket that nobody answers is a leftover of an earlier run by hand.
            if std::os::unix::net::UnixStream::connect(&path).is_err() {
                let _ = std::fs::remove_file(&path);
            }
            (UnixListener::bind(&path).map_err(|e| (1, format!("{}: {e}", path.display())))?, None)
        }
        None => (activated().map_err(|e| (2, format!("{e}; {USAGE}")))?, Some(idle)),
    };
    server.serve(&listener, idle).map_err(|e| (1, e.to_string()))
}

/// What it says of itself.
fn about(flag: &str) -> Option<String> {
    match flag {
        "--help" | "-h" => Some(format!(
            "Does what the agent is allowed to do on this host, one typed action at a time; FILE is root's list of what may happen.\n{USAGE}"
        )),
        "--version" | "-V" => Some(format!("holdfast-actuator {}", env!("CARGO_PKG_VERSION"))),
        _ => None,
    }
}

/// The listening socket that systemd passes as standard input (`StandardInput=socket`): a descriptor that can be owned without
/// unsafe code and without asking the kernel for `pidfd_getfd`, which containers forbid.
fn activated() -> Result<UnixListener, String> {
    let is_listening = rustix::net::sockopt::socket_acceptconn(std::io::stdin());
    if !is_listening.unwrap_or(false) {
        return Err("standard input is no listening socket (StandardInput=socket), and no --socket".into());
    }
    let fd = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
    Ok(fd.into())
}
