//! Sockets and TCP's and UDP's own books, from `/proc/net/{sockstat,sockstat6,snmp,netstat}`.
//!
//! Levels and counters of the agent's own network namespace. The counters of TCP and UDP are those of IPv4 and IPv6 together
//! for TCP and of IPv4 alone for UDP: so the kernel keeps them. A column that this kernel doesn't write gives no sample.

use std::time::Duration;

use super::sink::{Cached, Figure, Sink};
use super::{CollectError, Collector, Context, ParseFault, Reading, number};
use crate::host::HeldFile;

const V4: &str = "/proc/net/sockstat";
const V6: &str = "/proc/net/sockstat6";
const SNMP: &str = "/proc/net/snmp";
const NETSTAT: &str = "/proc/net/netstat";

const TCP4: &[(&str, &str)] = &[("network.transport", "tcp"), ("network.type", "ipv4")];
const UDP4: &[(&str, &str)] = &[("network.transport", "udp"), ("network.type", "ipv4")];
const TCP6: &[(&str, &str)] = &[("network.transport", "tcp"), ("network.type", "ipv6")];
const UDP6: &[(&str, &str)] = &[("network.transport", "udp"), ("network.type", "ipv6")];
const TCP: &[(&str, &str)] = &[("network.transport", "tcp")];
const UDP: &[(&str, &str)] = &[("network.transport", "udp")];
const IN: &[(&str, &str)] = &[("network.io.direction", "receive")];
const OUT: &[(&str, &str)] = &[("network.io.direction", "transmit")];

/// Line, field, figure. `mem` is in pages, and becomes bytes.
const LEVELS: [(&str, &str, Figure); 10] = [
    ("sockets", "used", Figure::gauge("holdfast.socket.allocated", "{socket}", &[])),
    ("TCP", "inuse", Figure::gauge("holdfast.socket.count", "{socket}", TCP4)),
    ("TCP", "orphan", Figure::gauge("holdfast.tcp.orphans", "{socket}", &[])),
    ("TCP", "tw", Figure::gauge("holdfast.tcp.time_wait", "{socket}", &[])),
    ("TCP", "alloc", Figure::gauge("holdfast.tcp.allocated", "{socket}", &[])),
    ("TCP", "mem", Figure::gauge("holdfast.socket.memory.usage", "By", TCP)),
    ("UDP", "inuse", Figure::gauge("holdfast.socket.count", "{socket}", UDP4)),
    ("UDP", "mem", Figure::gauge("holdfast.socket.memory.usage", "By", UDP)),
    ("TCP6", "inuse", Figure::gauge("holdfast.socket.count", "{socket}", TCP6)),
    ("UDP6", "inuse", Figure::gauge("holdfast.socket.count", "{socket}", UDP6)),
];

/// Line, column, figure.
const BOOKS: [(&str, &str, Figure); 27] = [
    ("Tcp", "CurrEstab", Figure::gauge("holdfast.tcp.connections", "{connection}", &[])),
    ("Tcp", "ActiveOpens", Figure::counter("holdfast.tcp.opened", "{connection}", OUT)),
    ("Tcp", "PassiveOpens", Figure::counter("holdfast.tcp.opened", "{connection}", IN)),
    ("Tcp", "AttemptFails", Figure::counter("holdfast.tcp.failed_attempts", "{connection}", &[])),
    ("Tcp", "EstabResets", Figure::counter("holdfast.tcp.reset_connections", "{connection}", &[])),
    ("Tcp", "InSegs", Figure::counter("holdfast.tcp.segments", "{segment}", IN)),
    ("Tcp", "OutSegs", Figure::counter("holdfast.tcp.segments", "{segment}", OUT)),
    ("Tcp", "RetransSegs", Figure::counter("holdfast.tcp.retransmitted", "{segment}", &[])),
    ("Tcp", "InErrs", Figure::counter("holdfast.tcp.bad_segments", "{segment}", &[])),
    ("Tcp", "OutRsts", Figure::counter("holdfast.tcp.resets_sent", "{segment}", &[])),
    ("Udp", "InDatagrams", Figure::counter("holdfast.udp.datagrams", "{datagram}", IN)),
    ("Udp", "OutDatagrams", Figure::counter("holdfast.udp.datagrams", "{datagram}", OUT)),
    ("Udp", "NoPorts", Figure::counter("holdfast.udp.no_port", "{datagram}", &[])),
    ("Udp", "InErrors", Figure::counter("holdfast.udp.errors", "{datagram}", IN)),
    ("Udp", "RcvbufErrors", Figure::counter("holdfast.udp.buffer_full", "{datagram}", IN)),
    ("Udp", "SndbufErrors", Figure::counter("holdfast.udp.buffer_full", "{datagram}", OUT)),
    ("TcpExt", "ListenOverflows", Figure::counter("holdfast.tcp.listen_overflows", "{connection}", &[])),
    ("TcpExt", "ListenDrops", Figure::counter("holdfast.tcp.listen_drops", "{connection}", &[])),
    ("TcpExt", "TCPTimeouts", Figure::counter("holdfast.tcp.timeouts", "{timeout}", &[])),
    ("TcpExt", "TCPSynRetrans", Figure::counter("holdfast.tcp.syn_retransmitted", "{segment}", &[])),
    ("TcpExt", "TCPLostRetransmit", Figure::counter("holdfast.tcp.lost_retransmits", "{segment}", &[])),
    ("TcpExt", "SyncookiesSent", Figure::counter("holdfast.tcp.syncookies_sent", "{segment}", &[])),
    ("TcpExt", "TCPBacklogDrop", Figure::counter("holdfast.tcp.backlog_drops", "{segment}", &[])),
    ("TcpExt", "TCPRcvQDrop", Figure::counter("holdfast.tcp.receive_queue_drops", "{segment}", &[])),
    ("TcpExt", "TCPMemoryPressures", Figure::counter("holdfast.tcp.memory_pressures", "{event}", &[])),
    ("TcpExt", "TCPAbortOnMemory", Figure::counter("holdfast.tcp.aborts_for_memory", "{connection}", &[])),
    ("TcpExt", "TCPReqQFullDrop", Figure::counter("holdfast.tcp.request_queue_drops", "{segment}", &[])),
];

/// Pure: calls `put` with the index of each level of [`LEVELS`] that the text holds.
pub(crate) fn parse_sockstat(text: &str, mut put: impl FnMut(usize, u64)) -> Result<(), ParseFault> {
    for (index, line) in text.lines().enumerate() {
        let (name, rest) = line.split_once(':').ok_or_else(|| ParseFault::at(index, line, "no colon"))?;
        let mut fields = rest.split_ascii_whitespace();
        while let Some(field) = fields.next() {
            let value = number(index, line, fields.next())?;
            if let Some(at) = LEVELS.iter().position(|(line, wanted, _)| *line == name && *wanted == field) {
                put(at, value);
            }
        }
    }
    Ok(())
}

/// TCP sockets; 0 for what the text doesn't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tcp {
    /// Of both families.
    pub(crate) allocated: u64,
    /// Of both families, not among the allocated.
    pub(crate) time_wait: u64,
    /// Of IPv6.
    pub(crate) in_use_6: u64,
}

/// Pure: from `/proc/net/sockstat` or `/proc/net/sockstat6`.
pub(crate) fn tcp(text: &str) -> Result<Tcp, ParseFault> {
    let mut tcp = Tcp::default();
    parse_sockstat(text, |at, value| match LEVELS[at] {
        ("TCP", "alloc", _) => tcp.allocated = value,
        ("TCP", "tw", _) => tcp.time_wait = value,
        ("TCP6", "inuse", _) => tcp.in_use_6 = value,
        _ => {}
    })?;
    Ok(tcp)
}

/// Where the wanted columns of a book are. The kernel writes the same head each time, so it is taken apart once.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    heads: Vec<(String, Vec<(usize, usize)>)>,
}

impl Columns {
    /// Pure: `text` is pairs of lines, names and then values; `put` gets the index of each figure of [`BOOKS`] and its value.
    /// Values may be negative; those aren't ours.
    pub(crate) fn parse(&mut self, text: &str, mut put: impl FnMut(usize, u64)) -> Result<(), ParseFault> {
        let mut lines = text.lines().enumerate();
        let mut pair = 0;
        while let (Some((index, head)), Some((_, values))) = (lines.next(), lines.next()) {
            if self.heads.len() <= pair {
                self.heads.push((String::new(), Vec::new()));
            }
            let (known, columns) = &mut self.heads[pair];
            if known != head {
                head.clone_into(known);
                *columns = columns_of(head);
            }
            pair += 1;
            if columns.is_empty() {
                continue;
            }
            let short = || ParseFault::at(index + 1, values, "fewer values than names");
            let (mut fields, mut next) = (values.split(' '), 0);
            for (column, figure) in columns {
                let field = fields.nth(*column - next).ok_or_else(short)?;
                next = *column + 1;
                put(*figure, number(index + 1, values, Some(field))?);
            }
        }
        Ok(())
    }
}

/// Column and index in [`BOOKS`], by column.
fn columns_of(head: &str) -> Vec<(usize, usize)> {
    let mut names = head.split(' ').enumerate();
    let Some(book) = names.next().and_then(|(_, name)| name.strip_suffix(':')) else { return Vec::new() };
    names
        .filter_map(|(column, name)| {
            BOOKS.iter().position(|(of, wanted, _)| *of == book && *wanted == name).map(|figure| (column, figure))
        })
        .collect()
}

pub(crate) struct Sockets {
    every: Duration,
    page_bytes: f64,
    stats: [HeldFile; 2],
    books: [(HeldFile, Columns, &'static str); 2],
    levels: [Cached; LEVELS.len()],
    counts: [Cached; BOOKS.len()],
}

impl Sockets {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            page_bytes: rustix::param::page_size() as f64,
            stats: [HeldFile::record(V4), HeldFile::record(V6)],
            books: [SNMP, NETSTAT].map(|path| (HeldFile::record(path), Columns::default(), path)),
            levels: Default::default(),
            counts: Default::default(),
        }
    }
}

fn put(sink: &mut Sink, series: &mut Cached, value: f64, figure: &Figure) {
    sink.put(series, value, || figure.key());
}

impl Collector for Sockets {
    fn name(&self) -> &'static str {
        "sockets"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let mut found = false;
        for (file, path) in self.stats.iter_mut().zip([V4, V6]) {
            // A kernel without IPv6 has no second file.
            if !context.reread(file)? {
                continue;
            }
            found = true;
            let (levels, page_bytes, sink) = (&mut self.levels, self.page_bytes, &mut *context.sink);
            parse_sockstat(context.text, |at, value| {
                let (_, field, figure) = &LEVELS[at];
                let unit = if *field == "mem" { page_bytes } else { 1.0 };
                put(sink, &mut levels[at], value as f64 * unit, figure);
            })
            .map_err(|fault| fault.of(path))?;
        }
        for (file, columns, path) in &mut self.books {
            if !context.reread(file)? {
                continue;
            }
            found = true;
            let (counts, sink) = (&mut self.counts, &mut *context.sink);
            columns
                .parse(context.text, |at, value| put(sink, &mut counts[at], value as f64, &BOOKS[at].2))
                .map_err(|fault| fault.of(path))?;
        }
        if found { Ok(Reading::Taken) } else { Ok(Reading::Absent { why: format!("no {V4}") }) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sockets_by_transport_and_the_books_of_tcp_and_udp() {
        let samples = Trees::of("host").samples(&mut Sockets::new(Duration::from_secs(1)), 1);
        assert_eq!(samples["holdfast.socket.allocated"], 215.0);
        assert_eq!(samples["holdfast.socket.count{network.transport=tcp,network.type=ipv4}"], 12.0);
        assert_eq!(samples["holdfast.socket.count{network.transport=udp,network.type=ipv6}"], 1.0);
        assert_eq!(samples["holdfast.tcp.time_wait"], 4.0);
        let memory = 206.0 * rustix::param::page_size() as f64;
        assert_eq!(samples["holdfast.socket.memory.usage{network.transport=tcp}"], memory);
        assert_eq!(samples["holdfast.tcp.retransmitted"], 17.0);
        assert_eq!(samples["holdfast.tcp.connections"], 3.0);
        assert_eq!(samples["holdfast.udp.no_port"], 5.0);
        assert_eq!(samples["holdfast.tcp.listen_overflows"], 3.0);
        assert_eq!(samples["holdfast.tcp.memory_pressures"], 7.0);
        assert!(!samples.contains_key("holdfast.tcp.syn_retransmitted"), "this kernel has no such column");
    }

    #[test]
    fn a_host_without_these_files_is_absent() {
        let (reading, samples) = Trees::of("bare").read(&mut Sockets::new(Duration::from_secs(1)), 1).unwrap();
        assert!(matches!(reading, Reading::Absent { .. }) && samples.is_empty());
    }

    #[test]
    fn a_head_that_changes_is_taken_apart_anew() {
        let (mut columns, mut seen) = (Columns::default(), Vec::new());
        columns.parse("Tcp: InErrs OutRsts\nTcp: 1 2\n", |_, value| seen.push(value)).unwrap();
        columns.parse("Tcp: RtoMax X InErrs\nTcp: -1 7 3\n", |_, value| seen.push(value)).unwrap();
        assert_eq!(seen, [1, 2, 3]);
    }

    #[test]
    fn the_error_names_the_line() {
        let fault = Columns::default().parse("Tcp: InErrs OutRsts\nTcp: 1\n", |_, _| {}).unwrap_err();
        assert_eq!((fault.line, fault.reason), (2, "fewer values than names"));
        assert_eq!(parse_sockstat("TCP: inuse\n", |_, _| {}).unwrap_err().line, 1);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "((Tcp|Udp|TcpExt): ?(InErrs|OutRsts|[0-9-]{1,20}| ){0,6}\\n?){0,4}\\PC{0,10}") {
            let _ = Columns::default().parse(&text, |_, _| {});
            let _ = parse_sockstat(&text, |_, _| {});
        }
    }
}
