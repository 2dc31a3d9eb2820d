//! A file of `/proc` or `/sys` that is read again and again, and stays open between two readings.
//!
//! The kernel writes such a file anew for each reading from its beginning, so one `pread` does what opening, asking for the
//! length, reading twice and closing would do. What a name leads to may change (a cgroup that is made again, a sensor that is
//! plugged in again): then the open file answers with an error, and the name is followed once more.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use rustix::buffer::spare_capacity;

use super::fs_root::READ_BYTES_MAX;
use super::{FsRoot, fs_root};

/// Room that each read is given; most files fit at once.
const ROOM_BYTES: usize = 8 * 1024;
/// Room that is kept after a longer file: some files of the kernel set aside, and clear, as much as they are asked for.
const KEPT_BYTES_MAX: usize = 128 * 1024;

/// One file by its absolute path.
#[derive(Debug)]
pub struct HeldFile {
    path: Cow<'static, str>,
    /// Written by the kernel at one go: a read that leaves room was the last.
    record: bool,
    stays_open: bool,
    file: Option<File>,
}

impl HeldFile {
    /// A file that the kernel writes as one record: `/proc/stat`, all of `/sys`.
    pub fn record(path: impl Into<Cow<'static, str>>) -> Self {
        Self { path: path.into(), record: true, stays_open: true, file: None }
    }

    /// A file of many records, such as `/proc/diskstats`: a read that leaves room need not be the last.
    pub fn listing(path: impl Into<Cow<'static, str>>) -> Self {
        Self { record: false, ..Self::record(path) }
    }

    /// The same, opened for each reading: for files read so seldom or so many that descriptors are dearer than time.
    #[must_use]
    pub fn opened_each_time(self) -> Self {
        Self { stays_open: false, ..self }
    }

    /// As the machine names it.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn read_below(&mut self, fs: &FsRoot, into: &mut String) -> io::Result<()> {
        if let Some(file) = self.file.take()
            && fill(&file, self.record, into).is_ok()
        {
            self.file = Some(file);
            return Ok(());
        }
        let file = File::open(fs.path(&*self.path))?;
        fill(&file, self.record, into)?;
        if self.stays_open {
            self.file = Some(file);
        }
        Ok(())
    }
}

impl FsRoot {
    /// Reads a file that the kernel writes at one go, once: fewer calls than [`FsRoot::read`].
    ///
    /// Errors: those of [`FsRoot::read`].
    pub fn read_record(&self, absolute: &str, into: &mut String) -> io::Result<()> {
        fill(&File::open(self.path(absolute))?, true, into)
    }

    /// Reads a whole file into `into`, which is cleared first and keeps its capacity. Below any other root than that of the
    /// machine a file is opened each time: an ordinary file's descriptor doesn't notice that another took its name.
    ///
    /// Errors: those of [`FsRoot::read`].
    pub fn reread(&self, held: &mut HeldFile, into: &mut String) -> io::Result<()> {
        if self.is_real() { held.read_below(self, into) } else { self.read(held.path(), into) }
    }
}

fn fill(file: &File, record: bool, into: &mut String) -> io::Result<()> {
    let mut bytes = std::mem::take(into).into_bytes();
    bytes.clear();
    bytes.shrink_to(KEPT_BYTES_MAX);
    loop {
        bytes.reserve(ROOM_BYTES);
        let (room, at) = (bytes.capacity() - bytes.len(), bytes.len() as u64);
        let read = rustix::io::retry_on_intr(|| rustix::io::pread(file, spare_capacity(&mut bytes), at))?;
        if bytes.len() as u64 > READ_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        if read == 0 || (record && read < room) {
            break;
        }
    }
    *into = String::from_utf8(bytes).map_err(fs_root::not_text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_anew_is_read_anew() {
        let (mut held, mut text) = (HeldFile::record("/proc/self/stat"), String::new());
        held.read_below(&FsRoot::real(), &mut text).unwrap();
        assert!(held.file.is_some());
        let first = text.clone();
        held.read_below(&FsRoot::real(), &mut text).unwrap();
        assert_eq!(first.split(' ').next(), text.split(' ').next());
        assert_eq!(text.lines().count(), 1, "nothing is left of the reading before");
    }

    #[test]
    fn a_listing_is_read_to_its_end() {
        let (mut held, mut text, mut whole) = (HeldFile::listing("/proc/self/smaps"), String::new(), String::new());
        held.read_below(&FsRoot::real(), &mut text).unwrap();
        FsRoot::real().read("/proc/self/smaps", &mut whole).unwrap();
        assert!(text.len() > ROOM_BYTES, "{}", text.len());
        let last = |text: &str| {
            text.lines().rev().find(|line| line.contains("[vsyscall]") || line.contains("[stack]")).map(str::to_owned)
        };
        assert!(last(&text).is_some() && last(&text) == last(&whole), "{text}");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_followed_once_the_old_file_fails() {
        let dir = tempfile::tempdir().unwrap();
        let fs = FsRoot::new(dir.path());
        std::fs::write(dir.path().join("new"), "new").unwrap();
        // A directory can be opened and not be read, as a file of a removed device.
        let gone = File::open(dir.path()).unwrap();
        let mut held = HeldFile { file: Some(gone), ..HeldFile::record("/new") };
        let mut text = String::new();
        held.read_below(&fs, &mut text).unwrap();
        assert_eq!(text, "new");
        std::fs::remove_file(dir.path().join("new")).unwrap();
        held.file = None;
        assert_eq!(held.read_below(&fs, &mut text).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn below_a_tree_a_file_that_was_replaced_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let fs = FsRoot::new(dir.path());
        let (mut held, mut text) = (HeldFile::record("/a"), String::new());
        for content in ["one", "two"] {
            std::fs::write(dir.path().join("next"), content).unwrap();
            std::fs::rename(dir.path().join("next"), dir.path().join("a")).unwrap();
            fs.reread(&mut held, &mut text).unwrap();
            assert_eq!(text, content);
        }
    }

    #[test]
    fn a_record_is_read_whole() {
        let (mut once, mut whole) = (String::new(), String::new());
        FsRoot::real().read_record("/proc/self/limits", &mut once).unwrap();
        FsRoot::real().read("/proc/self/limits", &mut whole).unwrap();
        assert_eq!(once, whole);
        assert_eq!(FsRoot::real().read_record("/none", &mut once).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_opened_each_time_holds_no_descriptor() {
        let (mut held, mut text) = (HeldFile::record("/proc/uptime").opened_each_time(), String::new());
        held.read_below(&FsRoot::real(), &mut text).unwrap();
        assert!(held.file.is_none() && !text.is_empty());
    }
}
