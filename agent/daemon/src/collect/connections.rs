//! TCP connections by state, by netlink, or where there is none from `/proc/net/tcp` and `tcp6`.
//!
//! The kernel goes through its whole table for netlink, and for each of the two files (some milliseconds where the table is large,
//! however empty). So this is read seldom, `tcp6` only while there are such sockets, and nothing while there are more
//! than [`CONNECTIONS_MAX`]: then the states are absent, and `sockets` still has the totals. A state in which no connection
//! is, is zero.

use std::time::Duration;

use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading, sockets};
use crate::host::{FsRoot, InetSocket, tcp_sockets};

const PATHS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
const SOCKSTAT6: &str = "/proc/net/sockstat6";
const SOCKSTAT: &str = "/proc/net/sockstat";
/// About 3 us each to have it written and read from a file.
const CONNECTIONS_MAX: u64 = 4_000;
/// By the kernel's number, less one. Two numbers mean that a SYN was received.
const STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_received",
    "fin_wait_1",
    "fin_wait_2",
    "time_wait",
    "closed",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];
const NEW_SYN_RECEIVED: usize = 12;
/// Of all of them by netlink; sockets that are merely bound would be the next.
const ALL: u32 = 0x1ffe;

/// Pure: adds to the connections of each state, in the order of `STATES`. The first line is the head.
pub(crate) fn parse(text: &str, counts: &mut [u64; STATES.len()]) -> Result<(), ParseFault> {
    for (index, line) in text.lines().enumerate().skip(1) {
        let number = line.split_ascii_whitespace().nth(3).and_then(|field| usize::from_str_radix(field, 16).ok());
        let Some(count) = number.and_then(slot).and_then(|slot| counts.get_mut(slot)) else {
            return Err(ParseFault::at(index, line, "no state of TCP in the fourth column"));
        };
        *count += 1;
    }
    Ok(())
}

/// Where a state of this number is in `STATES`.
fn slot(number: usize) -> Option<usize> {
    if number == NEW_SYN_RECEIVED { Some(2) } else { number.checked_sub(1).filter(|slot| *slot < STATES.len()) }
}

/// By netlink; `None`: there is none here, or it says what nobody understands.
fn asked(fs: &FsRoot) -> Option<[u64; STATES.len()]> {
    let (mut counts, mut strange) = ([0; STATES.len()], false);
    let one = |socket: InetSocket| match slot(socket.state.into()).and_then(|slot| counts.get_mut(slot)) {
        Some(count) => *count += 1,
        None => strange = true,
    };
    let answered = fs.is_real() && tcp_sockets(ALL, one).is_ok();
    (answered && !strange).then_some(counts)
}

/// From the files; `None`: there are none.
fn listed(context: &mut Context<'_>, waiting: bool) -> Result<Option<[u64; STATES.len()]>, CollectError> {
    // Sockets that only wait for their end are in neither family's number.
    let sixes = context.read(SOCKSTAT6)? && sockets::tcp(context.text).map_err(|f| f.of(SOCKSTAT6))?.in_use_6 > 0;
    let (mut counts, mut found) = ([0; STATES.len()], false);
    for (path, any) in PATHS.into_iter().zip([true, sixes || waiting]) {
        if any && context.read(path)? {
            found = true;
            parse(context.text, &mut counts).map_err(|fault| fault.of(path))?;
        }
    }
    Ok(found.then_some(counts))
}

pub(crate) struct Connections {
    every: Duration,
    series: [Cached; STATES.len()],
}

impl Connections {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, series: Default::default() }
    }
}

impl Collector for Connections {
    fn name(&self) -> &'static str {
        "connections"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let mut waiting = true;
        if context.read(SOCKSTAT)? {
            let tcp = sockets::tcp(context.text).map_err(|fault| fault.of(SOCKSTAT))?;
            let total = tcp.allocated.saturating_add(tcp.time_wait);
            if total > CONNECTIONS_MAX {
                return Ok(Reading::Absent {
                    why: format!("{total} TCP sockets; the states of more than {CONNECTIONS_MAX} are not counted"),
                });
            }
            waiting = tcp.time_wait > 0;
        }
        let counts = match asked(context.fs) {
            Some(counts) => counts,
            None => match listed(context, waiting)? {
                Some(counts) => counts,
                None => return Ok(Reading::Absent { why: format!("no {}", PATHS[0]) }),
            },
        };
        for ((series, count), state) in self.series.iter_mut().zip(counts).zip(STATES) {
            context.sink.put(series, count as f64, || {
                let attributes = [("network.transport", "tcp"), ("network.connection.state", state)];
                gauge("system.network.connection.count", "{connection}", &attributes)
            });
        }
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn connections_of_both_families_are_counted_by_state() {
        let samples = Trees::of("host").samples(&mut Connections::new(Duration::from_secs(10)), 1);
        let of = |state| {
            samples
                [&format!("system.network.connection.count{{network.connection.state={state},network.transport=tcp}}")]
        };
        assert_eq!((of("listen"), of("established"), of("close_wait"), of("syn_sent")), (2.0, 1.0, 1.0, 0.0));
    }

    #[test]
    fn too_many_connections_are_absent_not_slow() {
        let (reading, samples) = Trees::of("host").read(&mut Connections::new(Duration::from_secs(10)), 2).unwrap();
        assert!(matches!(reading, Reading::Absent { why } if why.starts_with("9000 TCP sockets")));
        assert!(samples.is_empty());
    }

    #[test]
    fn the_error_names_the_line() {
        let mut counts = [0; STATES.len()];
        assert_eq!(parse("head\n 0: a b 01\n 1: a b 0F\n", &mut counts).unwrap_err().line, 3);
        parse("head\n 0: a b 0C\n", &mut counts).unwrap();
        assert_eq!(counts[2], 1, "a half-open connection of the newer kind");
    }

    #[test]
    fn by_netlink_a_connection_of_this_process_is_counted_at_both_ends() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_far, _) = listener.accept().unwrap();
        // Nothing where the kernel has no such interface: then files are read.
        if let Some(counts) = asked(&FsRoot::real()) {
            assert!(counts[0] >= 2 && counts[9] >= 1, "{counts:?}");
        }
        assert_eq!(asked(&FsRoot::new("/nowhere")), None, "of another machine's tree only its files tell");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,9}\\n[ 0-9A-F:]{0,60}\\n?\\PC{0,20}") {
            let _ = parse(&text, &mut [0; STATES.len()]);
        }
    }
}
