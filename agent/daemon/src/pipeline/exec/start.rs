//! The one place of the daemon's crate that starts a process: the command that the caller of `holdfast exec` wrote.
//!
//! The child stays in the caller's process group, so that it keeps the terminal and job control works as if `exec` were not
//! there. Signals that only `exec` received are passed on; those from the terminal have reached the child already. Signals
//! that the caller had told `exec` to ignore stay ignored, for `nohup` and for jobs in the background.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use wait4::{ResUse, ResourceUsage, Wait4};

use super::trace::Child as Trace;

/// Signals that are passed on.
const PASSED_ON: [(i32, Signal); 4] =
    [(SIGINT, Signal::INT), (SIGTERM, Signal::TERM), (SIGHUP, Signal::HUP), (SIGQUIT, Signal::QUIT)];

/// How the command ended.
pub(super) struct Ended {
    /// Its exit code, as a shell would give it.
    pub(super) code: u8,
    /// What it and every descendant that was waited for used.
    pub(super) usage: ResourceUsage,
}

/// Runs the command to its end.
pub(super) fn run(program: &OsStr, arguments: &[OsString], trace: &Trace) -> io::Result<Ended> {
    let ignored = ignored_signals();
    let wanted = PASSED_ON.iter().map(|(number, _)| *number).filter(|number| !ignored.contains(number));
    // Before the start: a signal that arrives in between is passed on afterwards.
    let mut signals = SignalsInfo::<WithOrigin>::new(wanted.chain([SIGCHLD]))?;
    let mut child = command(program, arguments, trace).spawn()?;
    let ended = wait(&mut child, &mut signals)?;
    Ok(Ended { code: code(ended.status), usage: ended.rusage })
}

/// 127 when there is no such program, 126 when there is one that cannot be run.
pub(super) fn refusal_code(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

#[expect(clippy::disallowed_methods, reason = "docs/adr/0005: exec exists to start the command that its caller wrote")]
fn command(program: &OsStr, arguments: &[OsString], trace: &Trace) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("TRACEPARENT", &trace.parent);
    if !trace.continued {
        // A state without the parent that it belongs to would be attached to the wrong trace.
        command.env_remove("TRACESTATE");
    }
    command
}

/// Passes signals on until the child has ended. The child is only reaped here, so that its number cannot have become that
/// of another process when a signal is sent.
fn wait(child: &mut Child, signals: &mut SignalsInfo<WithOrigin>) -> io::Result<ResUse> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    loop {
        if let Some(ended) = child.try_wait4()? {
            return Ok(ended);
        }
        for origin in signals.wait() {
            let passed_on = PASSED_ON.iter().find(|(number, _)| *number == origin.signal);
            if let (Some((_, signal)), Some(pid), true) = (passed_on, pid, meant_for_us(&origin)) {
                // A child that ended meanwhile, or that runs as another user by now, cannot be signalled: nothing to do.
                let _ = kill_process(pid, *signal);
            }
        }
    }
}

/// A terminal signals every process of the foreground job; anything else was sent to this process.
fn meant_for_us(origin: &Origin) -> bool {
    !matches!(origin.cause, Cause::Kernel)
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// Signals ignored since before this program began.
fn ignored_signals() -> Vec<i32> {
    std::fs::read_to_string("/proc/self/status").map(|text| parse_ignored(&text)).unwrap_or_default()
}

/// Pure: the mask of `SigIgn:`, whose lowest bit stands for signal 1.
fn parse_ignored(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_names_them() {
        assert_eq!(parse_ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"), [SIGHUP, 13]);
        assert!(parse_ignored("SigIgn:\tzz\n").is_empty());
        assert!(parse_ignored("").is_empty());
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
        assert_eq!(refusal_code(&io::ErrorKind::NotFound.into()), 127);
        assert_eq!(refusal_code(&io::ErrorKind::PermissionDenied.into()), 126);
    }
}
