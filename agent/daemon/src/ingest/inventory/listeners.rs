//! Ports on which something listens, by netlink or from `/proc/net`, and whose they are.
//!
//! The sockets of others' processes are seen by root only; without that right the account that opened the port is known and,
//! since Linux 5.9, the unit by its control group, and not the program. Sockets of UDP have no state of listening: one that is
//! bound below the ephemeral ports counts.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

use holdfast_core::model::Items;

use super::item;
use crate::collect::{process_ids, unit_of_cgroup};
use crate::host::{FsRoot, InetSocket, tcp_sockets, udp_sockets};

const TABLES: [(&str, &str); 4] =
    [("/proc/net/tcp", "tcp"), ("/proc/net/tcp6", "tcp"), ("/proc/net/udp", "udp"), ("/proc/net/udp6", "udp")];
/// States by the kernel's number (`include/net/tcp_states.h`).
const LISTEN: &str = "0A";
const LISTENING: u32 = 1 << 10;
const UNCONNECTED: &str = "07";
const BOUND: u32 = 1 << 7;
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Where the range begins on a kernel that nobody turned.
const EPHEMERAL: u16 = 32_768;
/// Processes and their open files that are looked through for the owners of new ports.
const PROCESSES_MAX: usize = 20_000;
const DESCRIPTORS_MAX: usize = 200_000;
/// Where control groups of version 2 lie, alone or beside those of version 1.
const GROUP_ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Control groups that are looked through for the owners of new ports.
const GROUPS_MAX: usize = 20_000;
/// The unit of systemd itself.
const INIT: &str = "init.scope";

/// One port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    /// `tcp 0.0.0.0:80`
    pub(super) name: String,
    address: IpAddr,
    port: u16,
    uid: u32,
    inode: u64,
    /// Inode number of the control group that opened it, where the kernel says so.
    cgroup: Option<u64>,
}

impl Socket {
    /// What is compared.
    pub(super) fn value(&self) -> String {
        format!("uid={}", self.uid)
    }
}

/// All of them; `None` when the kernel shows none of the tables.
pub(super) fn sockets(fs: &FsRoot) -> Option<Vec<Socket>> {
    let mut text = String::new();
    let low = fs.read(RANGE, &mut text).ok().and_then(|()| text.split_ascii_whitespace().next()?.parse().ok());
    let low = low.unwrap_or(EPHEMERAL);
    let mut found: Option<Vec<Socket>> = None;
    for transport in ["tcp", "udp"] {
        if let Some(asked) = asked(fs, transport, low) {
            found.get_or_insert_default().extend(asked);
            continue;
        }
        for (path, _) in TABLES.into_iter().filter(|it| it.1 == transport) {
            if fs.read(path, &mut text).is_ok() {
                found.get_or_insert_default().extend(parse(&text, transport, low));
            }
        }
    }
    found
}

/// Those of one transport by netlink, which says whose they are; of TCP the kernel looks at no connection for it. `None`: there is no
/// netlink here, or it knows nothing of this transport.
fn asked(fs: &FsRoot, transport: &str, ephemeral: u16) -> Option<Vec<Socket>> {
    if !fs.is_real() {
        return None;
    }
    let mut found = Vec::new();
    let one = |it: InetSocket| {
        let InetSocket { local, uid, inode, cgroup, .. } = it;
        found.push(Socket {
            name: format!("{transport} {local}"),
            address: local.ip(),
            port: local.port(),
            uid,
            inode,
            cgroup,
        });
    };
    if transport == "tcp" {
        tcp_sockets(LISTENING, one).ok()?;
    } else {
        udp_sockets(BOUND, one).ok()?;
        found.retain(|it| it.port < ephemeral);
    }
    Some(found)
}

/// Pure: the listening ones of one table.
pub(super) fn parse<'t>(text: &'t str, transport: &'t str, ephemeral: u16) -> impl Iterator<Item = Socket> + 't {
    text.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state) = (address(fields.get(1)?)?, *fields.get(3)?);
        let listens =
            if transport == "tcp" { state == LISTEN } else { state == UNCONNECTED && local.port() < ephemeral };
        let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
        listens.then(|| Socket {
            name: format!("{transport} {local}"),
            address: local.ip(),
            port: local.port(),
            uid,
            inode,
            cgroup: None,
        })
    })
}

/// `0100007F:1F90`: words of the machine's order, each as one number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            for (at, byte) in words.iter().flatten().enumerate() {
                bytes[at] = *byte;
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// With what is known of who listens.
pub(super) fn items(fs: &FsRoot, sockets: &[Socket]) -> Items {
    let wanted: BTreeSet<u64> = sockets.iter().map(|it| it.inode).collect();
    let owners = owners(fs, &wanted);
    let groups: BTreeSet<u64> =
        sockets.iter().filter(|it| !owners.contains_key(&it.inode)).filter_map(|it| it.cgroup).collect();
    let units = units_of_groups(fs, &groups);
    let one = |socket: &Socket| {
        let mut found = item(socket.value());
        if let Some(owner) = owners.get(&socket.inode) {
            found.facts.insert("process.executable.name".to_owned(), owner.program.clone());
            found.facts.insert("process.pid".to_owned(), owner.pid.to_string());
            found.facts.extend(owner.unit.iter().map(|unit| ("unit.name".to_owned(), unit.clone())));
        } else if let Some(unit) = socket.cgroup.and_then(|it| units.get(&it)) {
            found.facts.insert("unit.name".to_owned(), unit.clone());
        }
        let mapped = matches!(socket.address, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some_and(|it| it.is_loopback()));
        if socket.address.is_loopback() || mapped {
            found.stated_by = Some("only programs of this host reach it".to_owned());
        } else if owners.get(&socket.inode).is_some_and(|it| it.pid == std::process::id()) {
            found.stated_by = Some("it is the agent's own".to_owned());
        }
        (socket.name.clone(), found)
    };
    sockets.iter().map(one).collect()
}

struct Process {
    pid: u32,
    program: String,
    unit: Option<String>,
}

/// Processes that hold these sockets; those of others are left out without the right to look.
fn owners(fs: &FsRoot, wanted: &BTreeSet<u64>) -> HashMap<u64, Process> {
    let mut found = HashMap::new();
    let Ok(pids) = process_ids(fs) else { return found };
    let mut descriptors = 0;
    for pid in pids.into_iter().take(PROCESSES_MAX) {
        let Ok(open) = std::fs::read_dir(fs.path(format!("/proc/{pid}/fd"))) else { continue };
        for descriptor in open.flatten() {
            descriptors += 1;
            if found.len() == wanted.len() || descriptors > DESCRIPTORS_MAX {
                return found;
            }
            let target = match std::fs::read_link(descriptor.path()) {
                Ok(target) => target,
                // The right to look is that of the process: none of its other descriptors can be read either.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => break,
                Err(_) => continue,
            };
            let inode = target.to_str().and_then(|it| it.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode.filter(|it| wanted.contains(it)) {
                found.entry(inode).or_insert_with(|| process(fs, pid));
            }
        }
    }
    found
}

fn process(fs: &FsRoot, pid: u32) -> Process {
    let mut text = String::new();
    let program = fs.read(&format!("/proc/{pid}/comm"), &mut text).map(|()| text.trim().to_owned());
    let program = program.unwrap_or_else(|_| "a process that is gone".to_owned());
    let unit = fs.read(&format!("/proc/{pid}/cgroup"), &mut text).ok().and_then(|()| unit_of_cgroup(&text));
    Process { pid, program, unit }
}

/// The units whose control groups have these inode numbers. What systemd itself opened belongs to whatever socket unit it was for,
/// which its group does not tell.
fn units_of_groups(fs: &FsRoot, wanted: &BTreeSet<u64>) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let root = GROUP_ROOTS.into_iter().find(|root| fs.path(root).join("cgroup.procs").exists());
    let Some(root) = root.filter(|_| !wanted.is_empty()) else { return found };
    let mut waiting = vec![String::new()];
    let mut looked_at = 0;
    while let Some(path) = waiting.pop() {
        looked_at += 1;
        if looked_at > GROUPS_MAX || found.len() == wanted.len() {
            break;
        }
        let folder = fs.path(format!("{root}{path}"));
        if let Ok(it) = std::fs::metadata(&folder)
            && wanted.contains(&it.ino())
            && let Some(unit) = unit_of_cgroup(&format!("0::{path}")).filter(|it| it != INIT)
        {
            found.insert(it.ino(), unit);
        }
        let Ok(inside) = std::fs::read_dir(folder) else { continue };
        let folders = inside.flatten().filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.filter_map(|it| Some(format!("{path}/{}", it.file_name().to_str()?))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_a_process_that_nobody_may_look_into_is_its_control_groups_units() {
        let dir = tempfile::tempdir().unwrap();
        let fs = FsRoot::new(dir.path());
        let group = |path: &str| {
            let folder = dir.path().join("sys/fs/cgroup").join(path);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("cgroup.procs"), "").unwrap();
            std::fs::metadata(folder).unwrap().ino()
        };
        group("");
        let groups = [
            group("system.slice/web.service"),
            group("system.slice/web.service/worker"),
            group("init.scope"),
            u64::MAX,
        ];
        let sockets: Vec<Socket> = (1..)
            .zip(groups.map(Some).into_iter().chain([None]))
            .map(|(inode, cgroup)| {
                let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                Socket { name: format!("tcp 0.0.0.0:{inode}"), address, port: inode as u16, uid: 33, inode, cgroup }
            })
            .collect();
        let found = items(&fs, &sockets);
        let units: Vec<_> = found.values().map(|it| it.facts.get("unit.name").map(String::as_str)).collect();
        assert_eq!(units, [Some("web.service"), Some("web.service"), None, None, None]);
    }

    #[test]
    fn a_bound_socket_of_udp_is_told_with_the_control_group_that_opened_it_where_the_kernel_says_so() {
        let fs = FsRoot::real();
        let mine = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = mine.local_addr().unwrap().port();
        let name = format!("udp 127.0.0.1:{port}");
        let inode = |all: &[Socket]| all.iter().find(|it| it.name == name).map(|it| it.inode);
        let Some(asked) = asked(&fs, "udp", u16::MAX) else { return };
        let mut text = String::new();
        fs.read("/proc/net/udp", &mut text).unwrap();
        let read: Vec<Socket> = parse(&text, "udp", u16::MAX).collect();
        assert_eq!(inode(&asked), inode(&read));
        assert!(inode(&asked).is_some());
        assert!(
            super::asked(&fs, "udp", port).is_some_and(|all| inode(&all).is_none()),
            "only below the ephemeral ports"
        );
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).map(|path| format!("/sys/fs/cgroup{path}"));
        let folder = own.and_then(|path| std::fs::metadata(path).ok()).map(|it| it.ino());
        let it = asked.iter().find(|it| it.name == name).unwrap();
        assert!(it.cgroup.is_none() || folder.is_none() || it.cgroup == folder, "{:?} {folder:?}", it.cgroup);
    }
}
