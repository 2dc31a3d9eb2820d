//! Names in a directory of `/sys`, sorted, for the collectors that look for devices.

use super::{CollectError, Context};

impl Context<'_> {
    /// Names of what lies in a directory, sorted; none when there is no such directory. What isn't UTF-8 is left out: the
    /// kernel writes no such names.
    pub(crate) fn names(&self, directory: &str) -> Result<Vec<String>, CollectError> {
        let failed = |source| CollectError::Read { path: directory.to_owned(), source };
        let entries = match std::fs::read_dir(self.fs.path(directory)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The trimmed text of a small file; `None` when it is missing or can't be read, as sensors that are asleep can't.
    pub(crate) fn word(&mut self, path: &str) -> Option<String> {
        self.fs.read_record(path, self.text).ok()?;
        Some(self.text.trim().to_owned()).filter(|word| !word.is_empty())
    }
}

/// `temp` and `12` of `temp12_input`: what stands before the number and behind it must be these.
pub(crate) fn numbered(name: &str, before: &str, behind: &str) -> Option<u32> {
    name.strip_prefix(before)?.strip_suffix(behind)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_name_counts() {
        assert_eq!(numbered("temp12_input", "temp", "_input"), Some(12));
        assert_eq!(numbered("temp_input", "temp", "_input"), None);
        assert_eq!(numbered("cpufreq", "cpu", ""), None);
    }
}
