//! Laying a case's files into an empty directory that stands for the host's `/`.
//!
//! Nothing is written outside of it: a path that leads out, by `..` or through a link laid before, is an error.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_core::model::{Interval, Timestamp};

use super::case::{FileGiven, Scene, TreeGiven};

/// Files of one case.
const FILES_MAX: usize = 20_000;

/// Where files are laid, and at which moment.
pub(super) struct Ground<'a> {
    pub(super) root: &'a Path,
    /// The case's own folder.
    pub(super) beside: &'a Path,
    pub(super) now: Timestamp,
}

impl Ground<'_> {
    /// Removes and lays what a scene says.
    pub(super) fn lay(&self, scene: &Scene) -> Result<(), String> {
        for path in &scene.remove {
            let place = self.place(path)?;
            let gone = match fs::symlink_metadata(&place) {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(&place),
                Ok(_) => fs::remove_file(&place),
                Err(error) => Err(error),
            };
            gone.map_err(|error| format!("world.remove `{path}`: {error}"))?;
        }
        for tree in &scene.tree {
            self.tree(tree).map_err(|why| format!("world.tree `{}`: {why}", tree.to))?;
        }
        for file in &scene.file {
            self.file(file).map_err(|why| format!("world.file `{}`: {why}", file.path))?;
        }
        Ok(())
    }

    /// Where a path of the host lies; its parents are there afterwards.
    fn place(&self, path: &str) -> Result<PathBuf, String> {
        let relative = path.strip_prefix('/').filter(|rest| !rest.is_empty() && rest.split('/').all(plain));
        let relative = relative.ok_or("write an absolute path without `.`, `..` and empty parts")?;
        let place = self.root.join(relative);
        let parent = place.parent().unwrap_or(self.root);
        fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        let real = |path: &Path| path.canonicalize().map_err(|error| error.to_string());
        if !real(parent)?.starts_with(real(self.root)?) {
            return Err("a link on the way leads out of the case's world".to_owned());
        }
        Ok(place)
    }

    fn file(&self, it: &FileGiven) -> Result<(), String> {
        let kinds = [it.text.is_some(), it.size.is_some(), it.link.is_some(), it.directory];
        if kinds.iter().filter(|given| **given).count() > 1 {
            return Err("give one of text, size, link and directory".to_owned());
        }
        let place = self.place(&it.path)?;
        let made = if let Some(target) = &it.link {
            std::os::unix::fs::symlink(target, &place)
        } else if it.directory {
            fs::create_dir_all(&place)
        } else {
            // A new file each time: what lies there may be a link.
            let _ = fs::remove_file(&place);
            fs::write(&place, it.text.as_deref().unwrap_or_default()).and_then(|()| match it.size {
                Some(size) => fs::OpenOptions::new().write(true).open(&place)?.set_len(size.0),
                None => Ok(()),
            })
        };
        made.map_err(|error| error.to_string())?;
        if it.link.is_some() {
            return Ok(());
        }
        let mode = it.mode.as_deref().unwrap_or(if it.directory { "0755" } else { "0644" });
        let bits = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o7777);
        let bits = bits.ok_or_else(|| format!("mode `{mode}` is no mode; write one such as \"0644\""))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(bits)).map_err(|error| error.to_string())?;
        self.age(&place, it.age)
    }

    fn tree(&self, it: &TreeGiven) -> Result<(), String> {
        let inside = it.from.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside {
            return Err("`from` is a path below the case's own folder".to_owned());
        }
        let (from, to) = (self.beside.join(&it.from), self.place(&it.to)?);
        let mut waiting = vec![(from, to)];
        let mut laid = 0;
        while let Some((from, to)) = waiting.pop() {
            let error = |error: std::io::Error| format!("{}: {error}", from.display());
            laid += 1;
            if laid > FILES_MAX {
                return Err(format!("more than {FILES_MAX} files"));
            }
            let meta = fs::symlink_metadata(&from).map_err(error)?;
            if meta.is_dir() {
                fs::create_dir_all(&to).map_err(error)?;
                fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).map_err(error)?;
                for entry in fs::read_dir(&from).map_err(error)? {
                    let entry = entry.map_err(error)?;
                    waiting.push((entry.path(), to.join(entry.file_name())));
                }
            } else if meta.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&from).map_err(error)?, &to).map_err(error)?;
            } else {
                let _ = fs::remove_file(&to);
                fs::copy(&from, &to).map_err(error)?;
                // Whoever checks a case out may have another umask.
                let bits = if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
                fs::set_permissions(&to, fs::Permissions::from_mode(bits)).map_err(error)?;
                self.age(&to, it.age)?;
            }
        }
        Ok(())
    }

    fn age(&self, place: &Path, age: Option<Interval>) -> Result<(), String> {
        let at = self.now.minus(age.map_or(Duration::ZERO, |age| age.0));
        let at: SystemTime = UNIX_EPOCH + Duration::from_nanos(u64::try_from(at.ns()).unwrap_or(0));
        let set = fs::File::open(place).and_then(|file| file.set_modified(at));
        set.map_err(|error| error.to_string())
    }
}

fn plain(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".."
}
