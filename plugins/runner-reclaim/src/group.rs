//! What is removed as one: a job's directory, a tool's version, a log.
//!
//! A path is a group, lies in one, or is on the way to one. Only groups are ever removed, and only whole.

use holdfast_plugin_sdk::glob::{leads_to, prefix};
use holdfast_plugin_sdk::host::files::{Entry, Kind};

/// Where a path stands, relative to its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is a group.
    Group,
    /// Groups may lie below it.
    OnTheWay,
    /// It lies in a group, or no pattern speaks of it.
    Neither,
    /// The operator said never.
    Never,
}

/// The first pattern that has something to say decides.
pub fn place(relative: &str, groups: &[String], never: &[String]) -> Place {
    if never.iter().any(|pattern| prefix(pattern, relative).is_some()) {
        return Place::Never;
    }
    for pattern in groups {
        match prefix(pattern, relative) {
            Some(whole) if whole == relative => return Place::Group,
            Some(_) => return Place::Neither,
            None if leads_to(pattern, relative) => return Place::OnTheWay,
            None => {}
        }
    }
    Place::Neither
}

/// A group, measured. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// Absolute.
    pub path: String,
    /// Regular files in it.
    pub files: u64,
    /// Sum of their sizes: what the guard of the step goes by.
    pub bytes: u64,
    /// What comes back when they go: files with other names elsewhere give nothing.
    pub frees: u64,
    /// Newest change of a file's content.
    pub newest_file: u64,
    /// Newest change of anything about anything in it, directories and owners included.
    pub newest_touch: u64,
    /// A file that says that somebody still needs it.
    pub marker: Option<String>,
    /// Why it cannot be removed safely, or not wholly be judged.
    pub odd: Option<String>,
}

impl Measured {
    /// Adds one entry of the group, the group itself included.
    pub fn add(&mut self, entry: &Entry, device: u64, markers: &[String]) {
        let meta = &entry.metadata;
        self.newest_touch = self.newest_touch.max(meta.mtime).max(meta.ctime);
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        if self.marker.is_none() && markers.iter().any(|marker| marker == name) {
            self.marker = Some(entry.path.clone());
        }
        if meta.device != device {
            self.odd.get_or_insert_with(|| format!("{} lies on another file system", entry.path));
        }
        match meta.kind {
            Kind::File => {
                self.files += 1;
                self.bytes = self.bytes.saturating_add(meta.size);
                self.frees = self.frees.saturating_add(if meta.nlink > 1 { 0 } else { meta.size });
                self.newest_file = self.newest_file.max(meta.mtime);
            }
            Kind::Directory => {}
            Kind::Symlink if entry.path == self.path => {
                self.odd.get_or_insert_with(|| "it is a symbolic link".to_owned());
            }
            Kind::Symlink => self.newest_file = self.newest_file.max(meta.mtime),
            Kind::Other => {
                self.odd.get_or_insert_with(|| format!("{} is a socket, device or pipe", entry.path));
            }
        }
    }

    /// When it was last worked on: by its files, or, without any, by the directories.
    pub fn newest(&self) -> u64 {
        if self.newest_file > 0 { self.newest_file } else { self.newest_touch }
    }
}
