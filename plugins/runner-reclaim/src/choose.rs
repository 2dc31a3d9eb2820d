//! How much has to go, and which groups go: the oldest first, until it is enough, within the limits of one plan.

use crate::group::Measured;

/// How full the file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes free for ordinary users.
    pub free: u64,
}

impl Space {
    /// What must be freed so that `target` of it is free; a disk that is only filling gets at least `least` of it.
    pub fn needed(self, target: f64, least: f64) -> u64 {
        let wanted = (self.total as f64 * target) as u64;
        wanted.saturating_sub(self.free).max((self.total as f64 * least) as u64)
    }
}

/// Limits of one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Entries.
    pub entries: usize,
    /// Files in them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Oldest first.
    pub groups: Vec<Measured>,
    /// What comes back.
    pub frees: u64,
}

/// Chooses among groups that nobody needs. One that frees nothing stays; one that is too large for the plan is passed over.
pub fn choose(mut groups: Vec<Measured>, needed: u64, caps: Caps) -> Chosen {
    groups.sort_by(|a, b| (a.newest(), &a.path).cmp(&(b.newest(), &b.path)));
    let (mut chosen, mut files, mut bytes) = (Chosen::default(), 0_u64, 0_u64);
    for group in groups {
        if chosen.frees >= needed || chosen.groups.len() >= caps.entries {
            break;
        }
        let (with_files, with_bytes) = (files.saturating_add(group.files), bytes.saturating_add(group.bytes));
        if group.frees == 0 || with_files > caps.files || with_bytes > caps.bytes {
            continue;
        }
        (files, bytes) = (with_files, with_bytes);
        chosen.frees += group.frees;
        chosen.groups.push(group);
    }
    chosen
}

/// The mount point that a path lies on: the longest that it begins with.
pub fn mount_of<'m>(path: &str, mounts: &'m [String]) -> Option<&'m str> {
    let on =
        |mount: &str| mount == "/" || path == mount || path.strip_prefix(mount).is_some_and(|r| r.starts_with('/'));
    mounts.iter().map(String::as_str).filter(|mount| on(mount)).max_by_key(|mount| mount.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &str, newest_file: u64, bytes: u64) -> Measured {
        Measured { path: path.into(), files: 10, bytes, frees: bytes, newest_file, ..Measured::default() }
    }

    const CAPS: Caps = Caps { entries: 3, files: 100, bytes: 1000 };

    #[track_caller]
    fn check(groups: &[(&str, u64, u64)], needed: u64, wanted: &[&str]) {
        let groups = groups.iter().map(|(path, newest, bytes)| group(path, *newest, *bytes)).collect();
        let chosen: Vec<String> = choose(groups, needed, CAPS).groups.into_iter().map(|g| g.path).collect();
        assert_eq!(chosen, wanted);
    }

    #[test]
    fn the_oldest_go_first_and_only_until_it_is_enough() {
        check(&[("new", 9, 50), ("old", 1, 50), ("mid", 5, 50)], 60, &["old", "mid"]);
    }

    #[test]
    fn nothing_goes_when_nothing_is_needed() {
        check(&[("old", 1, 50)], 0, &[]);
    }

    #[test]
    fn what_frees_nothing_stays() {
        check(&[("links", 1, 0), ("old", 2, 50)], 10, &["old"]);
    }

    #[test]
    fn a_group_beyond_the_plans_limits_is_passed_over_and_smaller_ones_still_go() {
        check(&[("huge", 1, 5000), ("old", 2, 50)], 5000, &["old"]);
        check(&[("a", 1, 1), ("b", 2, 1), ("c", 3, 1), ("d", 4, 1)], 10, &["a", "b", "c"]);
    }

    #[test]
    fn a_full_disk_needs_the_gap_and_a_filling_one_at_least_a_share() {
        let space = |free| Space { total: 1000, free };
        assert_eq!(space(50).needed(0.2, 0.0), 150);
        assert_eq!(space(500).needed(0.2, 0.0), 0);
        assert_eq!(space(500).needed(0.2, 0.1), 100);
    }

    #[test]
    fn a_path_lies_on_the_longest_mount_point_that_it_begins_with() {
        let mounts = ["/".to_owned(), "/home".to_owned(), "/home/runner/_work".to_owned()];
        for (path, wanted) in
            [("/home/runner/_work", "/home/runner/_work"), ("/home/runner/_works", "/home"), ("/homes", "/")]
        {
            assert_eq!(mount_of(path, &mounts), Some(wanted), "{path}");
        }
    }
}
