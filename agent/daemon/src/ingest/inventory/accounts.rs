//! `/etc/passwd` and `/etc/group`. Pure. Passwords are never looked at: they lie in files that are not read.

use holdfast_core::model::Items;

use super::item;

/// Accounts by name: `uid=1000 gid=1000 home=/home/alice shell=/bin/bash`. The full name is left out: it is a person's.
pub(super) fn users(text: &str) -> Items {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        let value = format!("uid={uid} gid={gid} home={home} shell={shell}");
        is_local(name).then(|| (name.to_owned(), item(value)))
    };
    text.lines().filter_map(line).collect()
}

/// Groups by name: `gid=27 members=alice,bob`, members in the order of their names.
pub(super) fn groups(text: &str) -> Items {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields[..] else { return None };
        let mut members: Vec<&str> = members.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
        members.sort_unstable();
        is_local(name).then(|| (name.to_owned(), item(format!("gid={gid} members={}", members.join(",")))))
    };
    text.lines().filter_map(line).collect()
}

/// Lines that begin with a sign refer to a directory service.
fn is_local(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['+', '-', '#'])
}
