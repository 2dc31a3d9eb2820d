//! Sockets of TCP and UDP by netlink, as [sock_diag(7)](https://man7.org/linux/man-pages/man7/sock_diag.7.html) has them.
//!
//! For `/proc/net/tcp` and for `tcp6` the kernel goes through its whole table of connections, however empty it is: some 4 ms each
//! where there is much memory. Asked by netlink it goes through it once for both families, and not at all for those that listen.
//! For TCP asked is in the first form of the question, `TCPDIAG_GETSOCK`, because the later one names a single family. It knows no UDP,
//! for which the later one is put for each family; and it is by netlink alone that the control group of a socket is known.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Numbers of the kernel: `linux/netlink.h`, `linux/inet_diag.h`, `linux/socket.h`.
const GETSOCK: u16 = 18;
const GETSOCK_OF_FAMILY: u16 = 20;
const REQUEST_DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEAD_BYTES: usize = 16;
const QUESTION_BYTES: usize = HEAD_BYTES + 60;
const STATES_AT: usize = HEAD_BYTES + 52;
/// `struct inet_diag_req_v2`: family, protocol, two bytes, states, and an address of zeros.
const LATER_BYTES: usize = HEAD_BYTES + 56;
const LATER_STATES_AT: usize = HEAD_BYTES + 4;
const UDP: u8 = 17;
const SOCKET_BYTES: usize = 72;
/// Attributes follow the socket, each with its length and kind; this one says whose it is, since Linux 5.9.
const ATTRIBUTE_HEAD_BYTES: usize = 4;
const CGROUP_ID: u16 = 21;
const INET: u8 = 2;
const INET6: u8 = 10;
/// The kernel answers at once, in pieces of at most 32 KiB.
const WITHIN: Duration = Duration::from_secs(2);
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces of one answer; some 200 sockets are in each, so that is about what fits into the largest file that is read.
const PIECES_MAX: usize = 500;

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InetSocket {
    /// `include/net/tcp_states.h`: 1 is established, 7 is one of UDP that is connected to nobody, 10 listens.
    pub state: u8,
    /// Its own address.
    pub local: SocketAddr,
    /// Who opened it; 0 also where the kernel doesn't know any more.
    pub uid: u32,
    /// As `/proc/PID/fd` names it; 0 where it belongs to no process any more.
    pub inode: u64,
    /// The inode number of the directory of the control group that opened it; `None` where the kernel doesn't say.
    pub cgroup: Option<u64>,
}

/// Tells `each` of this network namespace's TCP sockets in one of these states, both families: bit N is state N.
///
/// Errors: there is no such interface, or none for this process; an answer that isn't understood.
pub fn tcp(states: u32, each: impl FnMut(InetSocket)) -> io::Result<()> {
    ask(&question(states), each)
}

/// The same of UDP.
///
/// Errors: as above, and where the kernel can't tell of UDP.
pub fn udp(states: u32, mut each: impl FnMut(InetSocket)) -> io::Result<()> {
    ask(&later_question(INET, UDP, states), &mut each)?;
    match ask(&later_question(INET6, UDP, states), each) {
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn ask(question: &[u8], mut each: impl FnMut(InetSocket)) -> io::Result<()> {
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(WITHIN))?;
    // To the kernel: nobody else's word is taken from now on.
    rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    rustix::net::send(&socket, question, SendFlags::empty())?;
    let mut piece = vec![0; PIECE_BYTES];
    for _ in 0..PIECES_MAX {
        let (_, read) = rustix::net::recv(&socket, piece.as_mut_slice(), RecvFlags::TRUNC)?;
        let piece = piece.get(..read).ok_or_else(|| strange("a piece that is too long"))?;
        if parse(piece, &mut each)? {
            return Ok(());
        }
    }
    Err(strange("no end"))
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("sock_diag: {what}"))
}

fn question(states: u32) -> [u8; QUESTION_BYTES] {
    let mut bytes = [0; QUESTION_BYTES];
    bytes[..4].copy_from_slice(&(QUESTION_BYTES as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&GETSOCK.to_ne_bytes());
    bytes[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
    bytes[HEAD_BYTES] = INET;
    bytes[STATES_AT..STATES_AT + 4].copy_from_slice(&states.to_ne_bytes());
    bytes
}

fn later_question(family: u8, protocol: u8, states: u32) -> [u8; LATER_BYTES] {
    let mut bytes = [0; LATER_BYTES];
    bytes[..4].copy_from_slice(&(LATER_BYTES as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&GETSOCK_OF_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
    (bytes[HEAD_BYTES], bytes[HEAD_BYTES + 1]) = (family, protocol);
    bytes[LATER_STATES_AT..LATER_STATES_AT + 4].copy_from_slice(&states.to_ne_bytes());
    bytes
}

/// Pure: the messages of one piece; whether the last of all was among them.
fn parse(mut piece: &[u8], each: &mut impl FnMut(InetSocket)) -> io::Result<bool> {
    while !piece.is_empty() {
        let len = number(piece, 0).map(|len| len as usize);
        let (Some(kind), Some(len)) = (piece.get(4..6), len.filter(|len| (HEAD_BYTES..=piece.len()).contains(len)))
        else {
            return Err(strange("a message that is cut"));
        };
        let body = &piece[HEAD_BYTES..len];
        match u16::from_ne_bytes([kind[0], kind[1]]) {
            DONE | ERROR => {
                // A negative number of errno, or 0.
                let code = number(body, 0).map_or(0, u32::cast_signed);
                return if code < 0 { Err(io::Error::from_raw_os_error(code.saturating_neg())) } else { Ok(true) };
            }
            GETSOCK | GETSOCK_OF_FAMILY => each(socket(body).ok_or_else(|| strange("a socket that is cut"))?),
            _ => {}
        }
        // The next begins at a multiple of four.
        piece = piece.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// `struct inet_diag_msg`.
fn socket(body: &[u8]) -> Option<InetSocket> {
    let cgroup = attribute(body.get(SOCKET_BYTES..)?, CGROUP_ID).and_then(|it| it.get(..8)?.try_into().ok());
    let body = body.get(..SOCKET_BYTES)?;
    let port = u16::from_be_bytes([body[4], body[5]]);
    let address: [u8; 16] = body[8..24].try_into().ok()?;
    let ip = match body[0] {
        INET => IpAddr::V4(Ipv4Addr::new(address[0], address[1], address[2], address[3])),
        INET6 => IpAddr::V6(Ipv6Addr::from(address)),
        _ => return None,
    };
    let (uid, inode) = (number(body, 64)?, u64::from(number(body, 68)?));
    let cgroup = cgroup.map(u64::from_ne_bytes).filter(|id| *id != 0);
    Some(InetSocket { state: body[1], local: SocketAddr::new(ip, port), uid, inode, cgroup })
}

/// The value of an attribute; what is cut is not there.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let (len, kind) = (usize::from(half(0)?), half(2)?);
        let value = bytes.get(ATTRIBUTE_HEAD_BYTES..len)?;
        if kind == wanted {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEAD_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn listening(family: u8, address: &[u8], port: u16) -> Vec<u8> {
        let mut body = vec![0; SOCKET_BYTES];
        body[0] = family;
        body[1] = 10;
        body[4..6].copy_from_slice(&port.to_be_bytes());
        body[8..8 + address.len()].copy_from_slice(address);
        body[64..68].copy_from_slice(&1000_u32.to_ne_bytes());
        body[68..72].copy_from_slice(&4242_u32.to_ne_bytes());
        body
    }

    fn parsed(piece: &[u8]) -> (Vec<InetSocket>, io::Result<bool>) {
        let mut found = Vec::new();
        let ended = parse(piece, &mut |socket| found.push(socket));
        (found, ended)
    }

    #[test]
    fn both_families_and_the_end_are_understood() {
        let four = message(20, &listening(INET, &[127, 0, 0, 1], 80));
        let six = message(GETSOCK, &listening(INET6, &Ipv6Addr::LOCALHOST.octets(), 8080));
        let (found, ended) = parsed(&[four.clone(), six, message(DONE, &0_i32.to_ne_bytes())].concat());
        let local =
            |text: &str| InetSocket { state: 10, local: text.parse().unwrap(), uid: 1000, inode: 4242, cgroup: None };
        assert_eq!(found, [local("127.0.0.1:80"), local("[::1]:8080")]);
        assert!(ended.unwrap());
        assert!(!parsed(&four).1.unwrap(), "more pieces follow");
    }

    #[test]
    fn whose_control_group_it_is_is_read_among_the_attributes() {
        let attribute = |kind: u16, value: &[u8]| {
            let mut bytes = ((ATTRIBUTE_HEAD_BYTES + value.len()) as u16).to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let with = |attributes: &[u8]| {
            let body = [listening(INET, &[0, 0, 0, 0], 80), attributes.to_vec()].concat();
            parsed(&message(20, &body)).0[0].cgroup
        };
        let (shutdown, group) = (attribute(8, &[3]), attribute(CGROUP_ID, &7_777_u64.to_ne_bytes()));
        assert_eq!(with(&[shutdown.clone(), group.clone()].concat()), Some(7_777));
        assert_eq!(with(&shutdown), None);
        assert_eq!(with(&group[..8]), None, "cut");
        assert_eq!(with(&attribute(CGROUP_ID, &[1, 2])), None);
        assert_eq!(with(&[0, 0, 0, 0, 0, 0, 0, 0]), None, "an attribute without a length ends them");
    }

    #[test]
    fn an_error_of_the_kernel_is_one_and_what_is_cut_too() {
        let refused = parsed(&message(ERROR, &(-2_i32).to_ne_bytes())).1.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        let four = message(20, &listening(INET, &[127, 0, 0, 1], 80));
        assert!(parsed(&four[..50]).1.unwrap_err().to_string().contains("cut"));
        assert!(parsed(&message(20, &[0; 71])).1.unwrap_err().to_string().contains("cut"));
    }

    #[test]
    fn a_socket_of_this_process_is_among_them() {
        let mine = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut found = Vec::new();
        match tcp(1 << 10, |socket| found.push(socket)) {
            Ok(()) => {}
            // This kernel has no such interface, and `/proc` is read.
            Err(error) => return assert!(error.raw_os_error().is_some(), "{error}"),
        }
        assert!(found.iter().all(|it| it.state == 10), "{found:?}");
        let it = found.iter().find(|it| it.local == mine.local_addr().unwrap()).unwrap();
        assert_eq!((it.uid, it.inode > 0), (rustix::process::geteuid().as_raw(), true));
        // Where the kernel says whose it is, it is the group that this process is in.
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).map(|path| format!("/sys/fs/cgroup{path}"));
        let folder =
            own.and_then(|path| std::fs::metadata(path).ok()).map(|it| std::os::unix::fs::MetadataExt::ino(&it));
        assert!(it.cgroup.is_none() || folder.is_none() || it.cgroup == folder, "{it:?} {folder:?}");
    }

    #[test]
    fn a_socket_of_udp_of_either_family_is_among_them() {
        let four = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let six = std::net::UdpSocket::bind("[::1]:0").ok();
        let mut found = Vec::new();
        match udp(1 << 7, |socket| found.push(socket)) {
            Ok(()) => {}
            // This kernel has no such interface, and `/proc` is read.
            Err(error) => return assert!(error.raw_os_error().is_some(), "{error}"),
        }
        assert!(found.iter().all(|it| it.state == 7), "{found:?}");
        for mine in std::iter::once(four).chain(six) {
            let it = found.iter().find(|it| it.local == mine.local_addr().unwrap()).unwrap();
            assert_eq!((it.uid, it.inode > 0), (rustix::process::geteuid().as_raw(), true));
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_question_for_one_family_is_as_the_kernel_wants_it() {
        let bytes = later_question(INET6, UDP, 1 << 7);
        assert_eq!(bytes[..8], [[72, 0, 0, 0], [20, 0, 1, 3]].concat());
        assert_eq!(bytes[HEAD_BYTES..HEAD_BYTES + 8], [10, 17, 0, 0, 128, 0, 0, 0]);
        assert!(bytes[HEAD_BYTES + 8..].iter().all(|it| *it == 0));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..90) {
            let _ = parsed(&bytes);
            let whole = message(20, &listening(INET, &bytes[..bytes.len().min(4)], 80));
            let _ = parsed(&whole[..cut.min(whole.len())]);
        }
    }
}
