//! The kernel's tables of sockets, parsed. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One socket that waits for whoever comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `tcp`, `udp`
    pub protocol: &'static str,
    /// Where it listens.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// Whose it is.
    pub uid: u32,
    /// Its number, by which a process's descriptor names it.
    pub inode: u64,
}

/// The tables and their protocols.
pub const TABLES: [(&str, &str); 4] =
    [("/proc/net/tcp", "tcp"), ("/proc/net/tcp6", "tcp"), ("/proc/net/udp", "udp"), ("/proc/net/udp6", "udp")];

/// `LISTEN` of TCP; of UDP it is the state of a socket without a peer.
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

/// Listeners of one table; the error names the line.
pub fn parse(text: &str, protocol: &'static str) -> Result<Vec<Listener>, String> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        one(line, protocol, &mut found).ok_or_else(|| format!("line {} is no socket", at + 1))?;
    }
    Ok(found)
}

/// Adds the line's socket if it waits for whoever comes; `None`: the line is no socket.
fn one(line: &str, protocol: &'static str, found: &mut Vec<Listener>) -> Option<()> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, uid, _, inode, ..] = fields.as_slice() else { return None };
    let wanted = if protocol == "tcp" { LISTEN } else { UNCONNECTED };
    if *state != wanted {
        return Some(());
    }
    let (address, port) = local.split_once(':')?;
    found.push(Listener {
        protocol,
        address: self::address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        uid: uid.parse().ok()?,
        inode: inode.parse().ok()?,
    });
    Some(())
}

/// Words of 32 bits, each in the machine's own order; Holdfast runs on little-endian machines.
fn address(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(digits.get(at..at + 8)?, 16).ok().map(u32::to_le_bytes);
    match digits.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at * 8)?);
            }
            let address = Ipv6Addr::from(bytes);
            Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
        }
        _ => None,
    }
}
