//! Starting the author's own compilers: the only place of this crate that starts programs.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::BuildError;

/// A program in the plugin's folder, without standard input; what it says goes to standard error.
#[expect(
    clippy::disallowed_methods,
    reason = "authors build with their own compilers; this is the one place that starts them"
)]
pub(crate) fn program(name: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(dir).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// Runs to the end and answers standard output. `install` is what to say when the program is not there.
pub(crate) fn output(command: &mut Command, install: &str) -> Result<Vec<u8>, BuildError> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ran = command.stdout(Stdio::piped()).output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BuildError::Missing { program: program.clone(), install: install.to_owned() },
        _ => BuildError::Tool { program: program.clone(), status: error.to_string() },
    })?;
    if ran.status.success() {
        return Ok(ran.stdout);
    }
    // Of some tools the reason stands there.
    let said = String::from_utf8_lossy(&ran.stdout);
    let said = said.trim();
    let status = if said.is_empty() || said.starts_with('{') {
        ran.status.to_string()
    } else {
        format!("{}\n{said}", ran.status)
    };
    Err(BuildError::Tool { program, status })
}
