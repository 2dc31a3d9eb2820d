//! Reading what only the operator may write: configuration, policy, grants, components; and what only some may read: tokens, keys.
//!
//! Whoever can write the first decides what the agent does, so a file that everybody may write is refused, not obeyed. A secret that
//! everybody may read is none: it is refused too, so that this is noticed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Reads a whole file of at most `bytes_max` bytes.
///
/// Errors: those of opening and reading; `FileTooLarge`; `PermissionDenied` for a regular file that every user of the host
/// may write.
pub fn read_trusted(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read(path, bytes_max, (0o002, "everybody may write it, so it is not obeyed", "o-w"))
}

/// The same of a secret.
///
/// Errors: those of [`read_trusted`]; `PermissionDenied` for a regular file that every user of the host may read, too.
pub fn read_secret(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read(path, bytes_max, (0o007, "every user of this host may read it, so it keeps no secret", "o="))
}

/// `forbidden`: bits of the mode, what they mean, and what takes them away.
fn read(path: &Path, bytes_max: u64, forbidden: (u32, &str, &str)) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    let (bits, means, remedy) = forbidden;
    if meta.is_file() && meta.permissions().mode() & bits != 0 {
        let why = format!("{means}; `chmod {remedy} {}`", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// The same as text.
pub fn read_trusted_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    text(read_trusted(path, bytes_max)?)
}

/// A secret as text.
pub fn read_secret_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    text(read_secret(path, bytes_max)?)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_everybody_may_write_is_refused_and_a_secret_that_everybody_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        std::fs::write(&file, "a = 1\n").unwrap();
        let with = |mode: u32| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            read_trusted_text(&file, 100)
        };
        assert_eq!(with(0o664).unwrap(), "a = 1\n");
        let error = with(0o666).unwrap_err().to_string();
        assert!(error.contains("chmod o-w"), "{error}");
        with(0o600).unwrap();
        let secret = |mode: u32| {
            with(mode).unwrap();
            read_secret_text(&file, 100)
        };
        assert_eq!(secret(0o640).unwrap(), "a = 1\n");
        let error = secret(0o644).unwrap_err().to_string();
        assert!(error.contains("every user") && error.contains("chmod o= "), "{error}");
        secret(0o600).unwrap();
        assert_eq!(read_trusted(&file, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
