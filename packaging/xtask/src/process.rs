//! Starting programs and telling people about it: the only place of this crate that does either.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A line on standard output; a closed pipe is nobody's loss.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A line on standard error.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A program to start in `root`, without standard input.
#[expect(clippy::disallowed_methods, reason = "a developer tool starts programs; this is the one place")]
pub(crate) fn program(root: &Path, name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo(root: &Path) -> Command {
    program(root, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end and says first what is run.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    warn(&format!("$ {shown}"));
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// The same, and hands each line of standard output to `line` after it was printed.
pub(crate) fn must_reading(command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
    let shown = shown(command);
    warn(&format!("$ {shown}"));
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{shown}`"))?;
    if let Some(out) = child.stdout.take() {
        for text in BufReader::new(out).split(b'\n') {
            let text = text.with_context(|| format!("cannot read what `{shown}` says"))?;
            let text = String::from_utf8_lossy(&text);
            say(&text);
            line(&text);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Whether a program can be started at all.
pub(crate) fn answers(root: &Path, name: impl AsRef<OsStr>, arg: &str) -> bool {
    program(root, name).arg(arg).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    std::iter::once(name)
        .chain(command.get_args().map(|a| a.to_string_lossy().into_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}
