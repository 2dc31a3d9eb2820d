//! Follows `/var/log/dpkg.log` by looking about once a second: one `stat` when nothing happened, through rotation and truncation.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use holdfast_core::model::{Change, Timestamp};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::log::{change, parse_line, parse_time};
use crate::host::{FsRoot, beats};

const LOG: &str = "/var/log/dpkg.log";
const ROTATED: &str = "/var/log/dpkg.log.1";
/// About a second.
const EVERY: u32 = 2;
/// History before the start that is told: the last of it.
const HISTORY: Duration = Duration::from_hours(24);
/// Read in one go; more is read at the next look.
const READ_BYTES_MAX: u64 = 1 << 20;
/// Bytes of history that are looked through, from the end.
const HISTORY_BYTES_MAX: u64 = 8 << 20;
/// A longer line is none of dpkg's.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The zone of the host's clock, from `/etc/localtime`; UTC where that is missing or broken.
pub fn local_zone(fs: &FsRoot) -> TimeZone {
    std::fs::read(fs.path("/etc/localtime"))
        .ok()
        .and_then(|bytes| TimeZone::tzif("local", &bytes).ok())
        .unwrap_or(TimeZone::UTC)
}

/// Where the reading stands.
#[derive(Debug, Default)]
pub(super) struct Tail {
    inode: u64,
    position: u64,
    partial: Vec<u8>,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) lines: Vec<String>,
    /// There is more to read now.
    pub(super) more: bool,
}

impl Tail {
    /// New lines since the last look; absent files have none.
    pub(super) fn look(&mut self, fs: &FsRoot) -> Look {
        let mut look = Look::default();
        let Ok(meta) = std::fs::metadata(fs.path(LOG)) else { return look };
        if self.inode != 0 && meta.ino() != self.inode {
            // Rotated: the rest of what it was before.
            let before = std::fs::metadata(fs.path(ROTATED)).is_ok_and(|m| m.ino() == self.inode);
            if before && self.read(fs, ROTATED, &mut look) {
                look.more = true;
                return look;
            }
            *self = Self::default();
        }
        if meta.size() < self.position {
            *self = Self::default();
        }
        if meta.size() > self.position || self.inode == 0 {
            look.more = self.read(fs, LOG, &mut look);
        }
        look
    }

    /// Reads on; `true` when the bound was reached before the end.
    fn read(&mut self, fs: &FsRoot, path: &str, look: &mut Look) -> bool {
        let Ok(mut file) = File::open(fs.path(path)) else { return false };
        let mut bytes = Vec::new();
        let read = file
            .metadata()
            .and_then(|meta| {
                self.inode = meta.ino();
                file.seek(SeekFrom::Start(self.position))
            })
            .and_then(|_| file.take(READ_BYTES_MAX).read_to_end(&mut bytes));
        let Ok(read) = read else { return false };
        self.position += read as u64;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                if let Ok(line) = String::from_utf8(line) {
                    look.lines.push(line.trim_end().to_owned());
                }
            } else if self.partial.len() > LINE_BYTES_MAX {
                self.partial.clear();
            }
        }
        read as u64 == READ_BYTES_MAX
    }

    /// Everything from `since` on that is in the log and its first rotation, and the place after it.
    pub(super) fn history(fs: &FsRoot, zone: &TimeZone, since: Timestamp) -> (Self, Vec<String>) {
        let mut lines = Vec::new();
        let mut tail = Self::default();
        for path in [ROTATED, LOG] {
            tail = Self::default();
            let size = std::fs::metadata(fs.path(path)).map_or(0, |meta| meta.size());
            tail.position = size.saturating_sub(HISTORY_BYTES_MAX);
            let mut look = Look::default();
            while tail.read(fs, path, &mut look) {}
            lines.append(&mut look.lines);
        }
        lines.retain(|line| parse_time(line, zone).is_some_and(|(at, _)| at >= since));
        (tail, lines)
    }
}

/// What the log tells last of each package: the version that it was brought to, and when. The last 8 MiB of the log and of its
/// first rotation are looked through.
pub fn logged(fs: &FsRoot) -> BTreeMap<String, (String, Timestamp)> {
    let zone = local_zone(fs);
    let (_, lines) = Tail::history(fs, &zone, Timestamp::from_secs(0));
    let entries = lines.iter().filter_map(|line| parse_line(line, &zone));
    entries.filter_map(|entry| Some((entry.package, (entry.new?, entry.at)))).collect()
}

/// Tells what is in the log since `since` (the last change that is known; at most a day before `now`), then each new
/// change within about a second, until the receiver is dropped. The same line always has the same change id.
pub fn tail(fs: FsRoot, now: Timestamp, since: Timestamp, to: mpsc::Sender<Change>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let since = since.max(now.minus(HISTORY));
        let zone = local_zone(&fs);
        let start = {
            let (fs, zone) = (fs.clone(), zone.clone());
            tokio::task::spawn_blocking(move || Tail::history(&fs, &zone, since)).await
        };
        let (mut tail, mut lines) = start.unwrap_or_default();
        let (mut every, mut more) = (beats(EVERY), false);
        loop {
            for change in lines.drain(..).filter_map(|line| change(&line, &zone)) {
                if to.send(change).await.is_err() {
                    return;
                }
            }
            if !more {
                tokio::select! {
                    () = to.closed() => return,
                    _ = every.tick() => {}
                }
            }
            let look = tail.look(&fs);
            (lines, more) = (look.lines, look.more);
        }
    })
}
