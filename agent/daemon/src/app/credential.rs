//! Files that the configuration names: a path, or a credential of systemd.

use std::path::{Path, PathBuf};

/// Where systemd has put the agent's credentials, if it has any.
pub(super) fn directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// A path as it is; a bare name is a credential that systemd has loaded for the agent.
pub(super) fn place(text: &str, credentials: Option<&Path>) -> PathBuf {
    if text.starts_with('/') {
        return PathBuf::from(text);
    }
    // Without the directory the error names what is missing.
    credentials.unwrap_or(Path::new("$CREDENTIALS_DIRECTORY")).join(text)
}
