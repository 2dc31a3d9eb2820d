//! Space on mounted file systems, from `/proc/self/mountinfo` and statvfs(3).
//!
//! Bytes. The states used, free and reserved add up to the limit; `system.filesystem.utilization` is used of what an ordinary
//! user could have (used / (used + free)), the figure that `df` prints. Left out: pseudo and read-only-by-nature file systems, and every
//! further mount of a file system that is already counted (bind mounts). **Network and FUSE mounts are never asked**: a dead
//! server would hold up every other reading; the report names how many there are.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::keyed::Keyed;
use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading};

const PATH: &str = "/proc/self/mountinfo";
/// File systems that hold files of people and programs. A list of what to keep, because new pseudo file systems appear with kernels.
const KEPT: [&str; 17] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "nilfs2", "bcachefs", "vfat", "exfat",
    "ntfs3", "tmpfs", "overlay", "udf",
];
/// A dead server behind one of these blocks whoever asks.
const REMOTE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "afs"];
/// Memory file systems here belong to the system; filling them is another kind of trouble.
const SYSTEM_TREES: [&str; 5] = ["/dev", "/proc", "/sys", "/run/user", "/run/credentials"];
/// A container host mounts hundreds; the bound is for what `KEPT` and the dedup leave.
const MOUNTS_MAX: usize = 128;

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `254:0`; the same for every mount of one file system.
    pub(crate) device: String,
    /// Directory of the file system that is mounted; other than `/` for bind mounts.
    pub(crate) root: String,
    pub(crate) mountpoint: String,
    pub(crate) kind: String,
    pub(crate) source: String,
}

/// Pure. Octal escapes are undone.
pub(crate) fn parse(text: &str) -> Result<Vec<Mount>, ParseFault> {
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let fault = || ParseFault::at(index, line, "not a line of mountinfo");
            let (left, right) = line.split_once(" - ").ok_or_else(fault)?;
            let mut left = left.split(' ').skip(2);
            let mut right = right.split(' ');
            Ok(Mount {
                device: left.next().ok_or_else(fault)?.to_owned(),
                root: unescape(left.next().ok_or_else(fault)?),
                mountpoint: unescape(left.next().filter(|p| p.starts_with('/')).ok_or_else(fault)?),
                kind: right.next().ok_or_else(fault)?.to_owned(),
                source: unescape(right.next().ok_or_else(fault)?),
            })
        })
        .collect()
}

/// `\040` and its like back to their characters; what isn't an escape stays as it is.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits =
            bytes.get(at + 1..at + 4).filter(|d| bytes[at] == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        let value = digits.map(|d| d.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0')));
        if let Some(value) = value.and_then(|value| u8::try_from(value).ok()) {
            out.push(value);
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Pure: the mounts worth asking, one for each file system, and how many remote ones were passed over.
pub(crate) fn choose(mounts: Vec<Mount>) -> (Vec<Mount>, usize) {
    // What is mounted over another hides it: the last mount of a mount point is the one that a path leads to.
    let mut visible: HashMap<&str, usize> = HashMap::new();
    for (at, mount) in mounts.iter().enumerate() {
        visible.insert(&mount.mountpoint, at);
    }
    let mut remote = 0;
    let mut chosen: Vec<Mount> = Vec::new();
    for (at, mount) in mounts.iter().enumerate() {
        if visible.get(mount.mountpoint.as_str()) != Some(&at) {
            continue;
        }
        let kind = mount.kind.as_str();
        if REMOTE.contains(&kind) || kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.") {
            remote += 1;
            continue;
        }
        let under = |tree: &str| Path::new(&mount.mountpoint).starts_with(tree);
        // An overlay is a container's root, counted by what lies below it; only as our own root it is the disk that we have.
        if !KEPT.contains(&kind)
            || SYSTEM_TREES.iter().any(|tree| under(tree))
            || (kind == "overlay" && mount.mountpoint != "/")
        {
            continue;
        }
        match chosen.iter_mut().find(|other| other.device == mount.device) {
            // The mount of the whole file system stands for it; among equals the shortest path.
            Some(other) => {
                let rank = |m: &Mount| (m.root != "/", m.mountpoint.len());
                if rank(mount) < rank(other) {
                    *other = mount.clone();
                }
            }
            None => chosen.push(mount.clone()),
        }
    }
    (chosen, remote)
}

/// What statvfs tells. Bytes, and inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Free for ordinary users.
    pub(crate) available: u64,
    /// 0 where the file system makes inodes as it needs them.
    pub(crate) inodes: u64,
    pub(crate) inodes_free: u64,
}

fn statvfs(path: &Path) -> std::io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    let unit = stat.f_frsize;
    Ok(Space {
        total: stat.f_blocks.saturating_mul(unit),
        free: stat.f_bfree.saturating_mul(unit),
        available: stat.f_bavail.saturating_mul(unit),
        inodes: stat.f_files,
        inodes_free: stat.f_ffree,
    })
}

#[derive(Debug, Default)]
struct Series {
    usage: [Cached; 3],
    share: Cached,
    limit: Cached,
    inodes: Cached,
}

type AskSpace = Box<dyn Fn(&Path) -> std::io::Result<Space> + Send>;

pub(crate) struct Filesystem {
    every: Duration,
    series: Keyed<Series>,
    mountinfo: String,
    mounts: Vec<Mount>,
    remote: usize,
    ask: AskSpace,
}

impl Filesystem {
    pub(crate) fn new(every: Duration) -> Self {
        Self::asking(every, Box::new(statvfs))
    }

    fn asking(every: Duration, ask: AskSpace) -> Self {
        Self { every, series: Keyed::new(), mountinfo: String::new(), mounts: Vec::new(), remote: 0, ask }
    }
}

impl Collector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.read(PATH)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        // Mounts change seldom; the text is compared so that it is taken apart only when they did.
        if *context.text != self.mountinfo {
            (self.mounts, self.remote) = choose(parse(context.text).map_err(|fault| fault.of(PATH))?);
            self.mountinfo.clone_from(context.text);
        }
        self.series.next_round();
        let mut failed = Vec::new();
        for mount in self.mounts.iter().take(MOUNTS_MAX) {
            let space = match (self.ask)(&context.fs.path(&mount.mountpoint)) {
                Ok(space) if space.total > 0 => space,
                Ok(_) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => continue,
                Err(error) => {
                    failed.push(format!("cannot ask `{}` for its space: {error}", mount.mountpoint));
                    continue;
                }
            };
            let series = self.series.of(&mount.mountpoint);
            let base = [
                ("system.filesystem.mountpoint", mount.mountpoint.as_str()),
                ("system.filesystem.type", mount.kind.as_str()),
                ("system.device", mount.source.as_str()),
            ];
            let with = |state: &'static str| [base[0], base[1], base[2], ("system.filesystem.state", state)];
            let used = space.total.saturating_sub(space.free);
            let reserved = space.free.saturating_sub(space.available);
            for (at, (state, bytes)) in
                [("used", used), ("free", space.available), ("reserved", reserved)].into_iter().enumerate()
            {
                context
                    .sink
                    .put(&mut series.usage[at], bytes as f64, || gauge("system.filesystem.usage", "By", &with(state)));
            }
            let share = used as f64 / used.saturating_add(space.available) as f64;
            context.sink.put(&mut series.share, share, || gauge("system.filesystem.utilization", "1", &with("used")));
            context.sink.put(&mut series.limit, space.total as f64, || gauge("system.filesystem.limit", "By", &base));
            if space.inodes > 0 {
                let share = space.inodes.saturating_sub(space.inodes_free) as f64 / space.inodes as f64;
                context
                    .sink
                    .put(&mut series.inodes, share, || gauge("holdfast.filesystem.inode_utilization", "1", &base));
            }
        }
        if self.mounts.len() > MOUNTS_MAX {
            failed.push(format!("more than {MOUNTS_MAX} file systems; the rest is left out"));
        }
        if !failed.is_empty() {
            return Ok(Reading::Partial { why: failed.join("; ") });
        }
        if self.mounts.is_empty() {
            let why =
                format!("no local file system is mounted ({} network or FUSE mounts are never asked)", self.remote);
            return Ok(Reading::Absent { why });
        }
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    fn asking(answer: fn(&Path) -> std::io::Result<Space>) -> Filesystem {
        Filesystem::asking(Duration::from_secs(5), Box::new(answer))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the seam's signature")]
    fn ten_gib(_: &Path) -> std::io::Result<Space> {
        Ok(Space { total: 10 * GIB, free: 4 * GIB, available: 2 * GIB, inodes: 100, inodes_free: 75 })
    }

    #[test]
    fn the_states_add_up_and_utilization_is_what_df_prints() {
        let samples = Trees::of("host").samples(&mut asking(ten_gib), 1);
        let tail = "system.device=/dev/vda,system.filesystem.mountpoint=/,system.filesystem.state=used,system.filesystem.type=ext4";
        assert_eq!(samples[&format!("system.filesystem.usage{{{tail}}}")], (6 * GIB) as f64);
        assert_eq!(samples[&format!("system.filesystem.utilization{{{tail}}}")], 0.75);
        let sum: f64 = samples
            .iter()
            .filter(|(k, _)| k.starts_with("system.filesystem.usage") && k.contains("mountpoint=/,"))
            .map(|(_, v)| v)
            .sum();
        assert_eq!(sum, (10 * GIB) as f64);
    }

    #[test]
    fn pseudo_remote_hidden_and_bind_mounts_are_left_out() {
        let text = std::fs::read_to_string(Trees::of("host").root(1).path(PATH)).unwrap();
        let (chosen, remote) = choose(parse(&text).unwrap());
        let points: Vec<&str> = chosen.iter().map(|mount| mount.mountpoint.as_str()).collect();
        assert_eq!(points, ["/", "/srv/with space"]);
        assert_eq!(remote, 2);
    }

    #[test]
    fn one_broken_disk_does_not_hide_the_others() {
        let mut broken = asking(|path| {
            if path.ends_with("srv/with space") { Err(std::io::Error::other("i/o error")) } else { ten_gib(path) }
        });
        let (reading, samples) = Trees::of("host").read(&mut broken, 1).unwrap();
        assert_eq!(
            reading,
            Reading::Partial { why: "cannot ask `/srv/with space` for its space: i/o error".to_owned() }
        );
        assert_eq!(samples.len(), 6, "{samples:?}");
    }

    #[test]
    fn the_machine_itself_answers() {
        assert!(statvfs(Path::new("/")).unwrap().total > 0);
    }

    #[test]
    fn the_error_names_the_line() {
        assert_eq!(parse("27 1 254:0 / / rw - ext4 /dev/vda rw\n28 x\n").unwrap_err().line, 2);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[0-9: /\\\\a-z]{0,40}( - )?\\PC{0,40}") {
            if let Ok(mounts) = parse(&text) {
                choose(mounts);
            }
        }
    }
}
