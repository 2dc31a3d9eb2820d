//! Reading what only the operator may write: configuration, policy, grants, components.
//!
//! Whoever can write them decides what the agent does, so a file that everybody may write is refused, not obeyed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Reads a whole file of at most `bytes_max` bytes.
///
/// Errors: those of opening and reading; `FileTooLarge`; `PermissionDenied` for a regular file that every user of the host
/// may write.
pub fn read_trusted(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.permissions().mode() & 0o002 != 0 {
        let why = format!("everybody may write it, so it is not obeyed; `chmod o-w {}`", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// The same as text.
pub fn read_trusted_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(read_trusted(path, bytes_max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_everybody_may_write_is_refused_and_one_of_the_group_is_not() {
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
        assert_eq!(read_trusted(&file, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
