//! Who asks, and what they may: from the peer credentials of the socket to a [`Caller`].
//!
//! Root and the agent's own user are admins. Everybody else has the highest role whose list names them by user, by uid or
//! by `%group`; whoever is in no list is refused. Names come from `/etc/passwd` and `/etc/group`; users of a directory
//! service are listed by uid, their groups by `%gid`.

use std::fmt::Write as _;

use crate::host::FsRoot;
use crate::request::{Caller, Refusal, RefusalKind, Role};

/// What the kernel says about the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Effective user id at the time of connecting.
    pub uid: u32,
    /// Effective group id at the time of connecting.
    pub gid: u32,
}

/// The lists of `[access]`, and whom the agent runs as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    entries: Vec<(Role, String)>,
    own_uid: u32,
}

impl Access {
    /// Entries are a user name, a uid, `%group` or `%gid`.
    pub fn new(
        admins: &[String],
        approvers: &[String],
        operators: &[String],
        viewers: &[String],
        own_uid: u32,
    ) -> Self {
        let lists =
            [(Role::Admin, admins), (Role::Approver, approvers), (Role::Operator, operators), (Role::Viewer, viewers)];
        let entries = lists.iter().flat_map(|(role, list)| list.iter().map(|entry| (*role, entry.clone()))).collect();
        Self { entries, own_uid }
    }

    /// The peer as a caller; refused when no list names it.
    pub fn caller(&self, peer: Peer, directory: &Directory) -> Result<Caller, Refusal> {
        let user = directory.users.iter().find(|u| u.id == peer.uid);
        let mut name = user.map_or_else(|| "unknown user".to_owned(), |u| u.name.clone());
        let _ = write!(name, " (uid {})", peer.uid);
        let caller = |role| Caller { name: name.clone(), uid: peer.uid, role };
        if peer.uid == 0 || peer.uid == self.own_uid {
            return Ok(caller(Role::Admin));
        }
        let user_name = user.map(|u| u.name.as_str());
        let role =
            self.entries.iter().filter(|(_, entry)| names(entry, peer, user_name, directory)).map(|(r, _)| *r).max();
        role.map(caller).ok_or_else(|| {
            Refusal::new(RefusalKind::Denied, format!("{name} has no role on this agent"))
                .hint("an administrator can add the user, or one of its groups as `%group`, to a list of [access] in holdfast.toml")
        })
    }
}

fn names(entry: &str, peer: Peer, user: Option<&str>, directory: &Directory) -> bool {
    match entry.strip_prefix('%') {
        None => entry.parse() == Ok(peer.uid) || user == Some(entry),
        Some(group) => {
            let in_group = |g: &Group| {
                (g.name == group || group.parse() == Ok(g.id))
                    && (g.id == peer.gid
                        || user.is_some_and(|u| g.members.iter().any(|m| m == u))
                        || directory.has_primary(peer.uid, g.id))
            };
            group.parse() == Ok(peer.gid) || directory.groups.iter().any(in_group)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    name: String,
    id: u32,
    primary: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: String,
    id: u32,
    members: Vec<String>,
}

/// Users and groups of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    users: Vec<User>,
    groups: Vec<Group>,
}

impl Directory {
    /// From `/etc/passwd` and `/etc/group`; a file that cannot be read is an empty one.
    pub fn read(fs: &FsRoot) -> Self {
        let (mut passwd, mut group) = (String::new(), String::new());
        let _ = fs.read("/etc/passwd", &mut passwd);
        let _ = fs.read("/etc/group", &mut group);
        Self::parse(&passwd, &group)
    }

    /// Pure. Lines that are none are passed over, as the C library does.
    pub fn parse(passwd: &str, group: &str) -> Self {
        let user = |line: &str| {
            let mut fields = line.split(':');
            let (name, _, id, primary) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            Some(User { name: name.to_owned(), id: id.parse().ok()?, primary: primary.parse().ok()? })
        };
        let group_of = |line: &str| {
            let mut fields = line.split(':');
            let (name, _, id, members) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
            Some(Group { name: name.to_owned(), id: id.parse().ok()?, members })
        };
        Self { users: passwd.lines().filter_map(user).collect(), groups: group.lines().filter_map(group_of).collect() }
    }

    fn has_primary(&self, uid: u32, gid: u32) -> bool {
        self.users.iter().any(|u| u.id == uid && u.primary == gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n\
                          bob:x:1001:1001::/:/bin/sh\nbroken\nholdfast:x:990:990::/:/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:bob,carol\nstaff:x:1000:\noops:x:nan:alice\n";

    #[track_caller]
    fn check(lists: [&[&str]; 4], peer: (u32, u32), expected: Option<Role>) {
        let [admins, approvers, operators, viewers] =
            lists.map(|l| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let access = Access::new(&admins, &approvers, &operators, &viewers, 990);
        let found = access.caller(Peer { uid: peer.0, gid: peer.1 }, &Directory::parse(PASSWD, GROUP));
        assert_eq!(found.as_ref().ok().map(|c| c.role), expected, "{found:?}");
    }

    #[test]
    fn root_and_the_agents_own_user_are_admins() {
        check([&[], &[], &[], &[]], (0, 0), Some(Role::Admin));
        check([&[], &[], &[], &[]], (990, 990), Some(Role::Admin));
    }

    #[test]
    fn who_is_in_no_list_is_refused() {
        check([&["alice"], &["%wheel"], &[], &["1002"]], (1003, 1003), None);
        check([&[], &[], &[], &[]], (1000, 1000), None);
    }

    #[test]
    fn users_are_listed_by_name_by_uid_and_by_group() {
        check([&[], &["alice"], &[], &[]], (1000, 1000), Some(Role::Approver));
        check([&[], &[], &["1000"], &[]], (1000, 1000), Some(Role::Operator));
        check([&["%wheel"], &[], &[], &[]], (1001, 1001), Some(Role::Admin));
        check([&[], &[], &[], &["%staff"]], (1000, 5), Some(Role::Viewer));
        check([&[], &[], &[], &["%4242"]], (1003, 4242), Some(Role::Viewer));
    }

    #[test]
    fn the_highest_role_counts() {
        check([&[], &["%wheel"], &["bob"], &["bob"]], (1001, 1001), Some(Role::Approver));
    }

    #[test]
    fn a_user_named_like_a_group_is_not_in_it() {
        check([&["%bob"], &[], &[], &[]], (1001, 1001), None);
        check([&["wheel"], &[], &[], &[]], (1001, 10), None);
    }

    #[test]
    fn a_caller_is_called_by_name_and_uid() {
        let directory = Directory::parse(PASSWD, GROUP);
        let access = Access::new(&[], &[], &[], &["1000".to_owned(), "7".to_owned()], 990);
        let name = |uid| access.caller(Peer { uid, gid: 1 }, &directory).map(|c| c.name).unwrap_or_default();
        assert_eq!(name(1000), "alice (uid 1000)");
        assert_eq!(name(7), "unknown user (uid 7)");
    }
}
