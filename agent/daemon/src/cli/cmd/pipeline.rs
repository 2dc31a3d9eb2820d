//! `gate` and `exec`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::super::args::{Exec, Gate};
use super::super::exit::{Failure, Outcome};
use super::Session;
use crate::host::SystemClock;
use crate::pipeline::exec::{self, ExecOptions};
use crate::pipeline::gate::{self, WaitOptions};

pub(super) fn gate(it: &Session, args: Gate) -> Outcome {
    let options = WaitOptions {
        socket: it.socket()?,
        deployment: args.deployment,
        sibling: args.sibling,
        wait: args.wait.map_or(Duration::ZERO, |w| w.0),
        progress: !it.global.quiet,
    };
    let report = gate::wait(&options, &SystemClock::new())?;
    // The verdict first: a file that cannot be written must not hide it.
    it.out.document(&report, |_| gate::text(&report))?;
    if let Some(path) = &args.junit {
        let written = File::create(path).and_then(|mut f| f.write_all(gate::junit(&report).as_bytes()));
        written.map_err(|e| cannot(path, &e))?;
    }
    if let Some(path) = &args.summary {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut f| f.write_all(gate::markdown(&report).as_bytes()));
        written.map_err(|e| cannot(path, &e))?;
    }
    Ok(gate::exit_code(&report))
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot write {}: {error}", path.display()))
}

/// Whatever goes wrong here must not stop the build step: a socket that cannot be told is one that nobody answers at.
pub(super) fn exec(it: &Session, args: Exec) -> u8 {
    let socket = it.socket().unwrap_or_else(|_| "/run/holdfast/holdfast.sock".into());
    let options = ExecOptions { step: args.step, command: args.command, socket, quiet: it.global.quiet };
    exec::run(&options)
}
