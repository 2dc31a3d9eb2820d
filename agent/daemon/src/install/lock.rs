//! One change of plugins at a time: two commands would place parts of two components, or write over each other's grant.
//!
//! Held from the last look at what is there until everything is placed, never while a person is asked. The kernel gives it back when
//! its process ends, however that ends, so a file that is left over locks nothing.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::InstallError;
use crate::config::PluginsConfig;

/// Lies beside the grants, where the agent looks for nothing but `*.toml`.
const NAME: &str = ".lock";
/// How long another command is waited for. Placing takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);
/// Only its owner may even wait for it: whoever could open it could keep it for ever.
const MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o755;

/// The right to change plugins; it ends with this value.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Waits for its turn.
///
/// Errors: another command has it and keeps it, or it cannot be written here at all.
pub fn lock(config: &PluginsConfig) -> Result<Lock, InstallError> {
    let path = config.grants.join(NAME);
    let failed = |source| InstallError::Write { path: path.clone(), source };
    std::fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(&config.grants).map_err(failed)?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(MODE);
    let mut file = options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(&path).map_err(failed)?;
    for _ in 0..=PATIENCE.as_millis() / STEP.as_millis() {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let named = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                return named.map(|()| Lock(file)).map_err(failed);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(STEP),
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    Err(InstallError::Busy { process: holder(&mut file), path, after: PATIENCE })
}

/// Which process says that it has it.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    let process: u32 = text.trim().parse().ok()?;
    Path::new("/proc").join(process.to_string()).exists().then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_who_has_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let config = PluginsConfig { grants: dir.path().join("plugins.d"), ..PluginsConfig::default() };
        let first = lock(&config).unwrap();
        let error = lock(&config).unwrap_err();
        let wanted = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&wanted) && error.is_failure(), "{error}");
        assert!(error.hint().unwrap().contains("plugins.d/.lock"), "{error:?}");
        drop(first);
        lock(&config).unwrap();
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (config, elsewhere) =
            (PluginsConfig { grants: dir.path().to_owned(), ..PluginsConfig::default() }, dir.path().join("elsewhere"));
        std::fs::write(&elsewhere, "kept").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(NAME)).unwrap();
        assert!(matches!(lock(&config), Err(InstallError::Write { .. })));
        assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), "kept");
    }
}
