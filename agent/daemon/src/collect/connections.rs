//! TCP connections by state, from `/proc/net/tcp` and `tcp6`: the only files that tell states.
//!
//! The kernel goes through its whole table for each of the two (a millisecond where the table is large, however empty) and
//! writes a line for each connection. So this is read seldom, `tcp6` only while there are such sockets, and neither while there are more
//! than [`CONNECTIONS_MAX`]: then the states are absent, and `sockets` still has the totals. A state in which no connection
//! is, is zero.

use std::time::Duration;

use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading, sockets};

const PATHS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
const SOCKSTAT6: &str = "/proc/net/sockstat6";
const SOCKSTAT: &str = "/proc/net/sockstat";
/// About 3 us each to have it written and read.
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

/// Pure: adds to the connections of each state, in the order of `STATES`. The first line is the head.
pub(crate) fn parse(text: &str, counts: &mut [u64; STATES.len()]) -> Result<(), ParseFault> {
    for (index, line) in text.lines().enumerate().skip(1) {
        let number = line.split_ascii_whitespace().nth(3).and_then(|field| usize::from_str_radix(field, 16).ok());
        let slot = match number {
            Some(NEW_SYN_RECEIVED) => 2,
            Some(number) if (1..=STATES.len()).contains(&number) => number - 1,
            _ => return Err(ParseFault::at(index, line, "no state of TCP in the fourth column")),
        };
        counts[slot] += 1;
    }
    Ok(())
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
        // Sockets that only wait for their end are in neither family's number.
        let sixes = context.read(SOCKSTAT6)? && sockets::tcp(context.text).map_err(|f| f.of(SOCKSTAT6))?.in_use_6 > 0;
        let (mut counts, mut found) = ([0; STATES.len()], false);
        for (path, any) in PATHS.into_iter().zip([true, sixes || waiting]) {
            if any && context.read(path)? {
                found = true;
                parse(context.text, &mut counts).map_err(|fault| fault.of(path))?;
            }
        }
        if !found {
            return Ok(Reading::Absent { why: format!("no {}", PATHS[0]) });
        }
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

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,9}\\n[ 0-9A-F:]{0,60}\\n?\\PC{0,20}") {
            let _ = parse(&text, &mut [0; STATES.len()]);
        }
    }
}
