//! Tables of the kernel that can run full, and what is in them: open files, tracked connections, threads; and entropy.
//!
//! From `/proc/sys` and `/proc/loadavg`, read seldom. A limit that is no limit (the kernel's largest number) gives no sample,
//! and neither do tracked connections where the kernel doesn't track any. Entropy is 256 bits for ever since Linux 5.18.

use std::time::Duration;

use super::sink::{Cached, Figure};
use super::{CollectError, Collector, Context, ParseFault, Reading, only_number};

const FILES: &str = "/proc/sys/fs/file-nr";
const LOADAVG: &str = "/proc/loadavg";
/// A limit this large was never meant as one.
const NO_LIMIT: u64 = 1 << 62;

/// One number in a file of its own.
const SINGLE: [(&str, Figure); 5] = [
    ("/proc/sys/kernel/random/entropy_avail", Figure::gauge("holdfast.entropy.available", "bit", &[])),
    ("/proc/sys/net/netfilter/nf_conntrack_count", Figure::gauge("holdfast.conntrack.entries", "{connection}", &[])),
    ("/proc/sys/net/netfilter/nf_conntrack_max", Figure::gauge("holdfast.conntrack.limit", "{connection}", &[])),
    ("/proc/sys/kernel/threads-max", Figure::gauge("holdfast.thread.limit", "{thread}", &[])),
    ("/proc/sys/kernel/pid_max", Figure::gauge("holdfast.pid.limit", "{process}", &[])),
];
const CONNTRACK: usize = 1;
const CONNTRACK_MAX: usize = 2;

const FILE_COUNT: Figure = Figure::gauge("holdfast.file.open", "{file}", &[]);
const FILE_LIMIT: Figure = Figure::gauge("holdfast.file.limit", "{file}", &[]);
const FILE_SHARE: Figure = Figure::gauge("holdfast.file.utilization", "1", &[]);
const CONNTRACK_SHARE: Figure = Figure::gauge("holdfast.conntrack.utilization", "1", &[]);
const THREADS: Figure = Figure::gauge("holdfast.thread.count", "{thread}", &[]);

/// Pure: open files and their limit.
pub(crate) fn parse_files(text: &str) -> Result<(u64, u64), ParseFault> {
    let mut fields = text.split_ascii_whitespace().map(str::parse);
    match (fields.next(), fields.next(), fields.next()) {
        (Some(Ok(allocated)), Some(Ok::<u64, _>(free)), Some(Ok(limit))) => Ok((allocated.saturating_sub(free), limit)),
        _ => Err(ParseFault::at(0, text.lines().next().unwrap_or_default(), "not three whole numbers")),
    }
}

/// Pure: all threads of the host, from the fourth field of the load averages.
pub(crate) fn parse_threads(text: &str) -> Result<u64, ParseFault> {
    text.split_ascii_whitespace()
        .nth(3)
        .and_then(|field| field.split_once('/'))
        .and_then(|(_, all)| all.parse().ok())
        .ok_or_else(|| {
            ParseFault::at(0, text.lines().next().unwrap_or_default(), "no runnable/all in the fourth field")
        })
}

pub(crate) struct Limits {
    every: Duration,
    single: [Cached; SINGLE.len()],
    files: [Cached; 3],
    conntrack_share: Cached,
    threads: Cached,
}

impl Limits {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            single: Default::default(),
            files: Default::default(),
            conntrack_share: Cached::default(),
            threads: Cached::default(),
        }
    }
}

impl Collector for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let mut found = false;
        if context.read(FILES)? {
            found = true;
            let (open, limit) = parse_files(context.text).map_err(|fault| fault.of(FILES))?;
            context.sink.put(&mut self.files[0], open as f64, || FILE_COUNT.key());
            if (1..NO_LIMIT).contains(&limit) {
                context.sink.put(&mut self.files[1], limit as f64, || FILE_LIMIT.key());
                context.sink.put(&mut self.files[2], open as f64 / limit as f64, || FILE_SHARE.key());
            }
        }
        let mut values = [None; SINGLE.len()];
        for (at, (path, figure)) in SINGLE.iter().enumerate() {
            if context.read(path)? {
                found = true;
                let value = only_number(context.text).map_err(|fault| fault.of(path))?;
                values[at] = Some(value);
                context.sink.put(&mut self.single[at], value as f64, || figure.key());
            }
        }
        if let (Some(entries), Some(limit @ 1..)) = (values[CONNTRACK], values[CONNTRACK_MAX]) {
            context.sink.put(&mut self.conntrack_share, entries as f64 / limit as f64, || CONNTRACK_SHARE.key());
        }
        if context.read(LOADAVG)? {
            found = true;
            let threads = parse_threads(context.text).map_err(|fault| fault.of(LOADAVG))?;
            context.sink.put(&mut self.threads, threads as f64, || THREADS.key());
        }
        if found { Ok(Reading::Taken) } else { Ok(Reading::Absent { why: format!("no {FILES}") }) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_in_the_tables_and_what_they_hold() {
        let samples = Trees::of("host").samples(&mut Limits::new(Duration::from_secs(10)), 1);
        assert_eq!((samples["holdfast.file.open"], samples["holdfast.file.limit"]), (508.0, 1e6));
        assert_eq!(samples["holdfast.conntrack.utilization"], 0.25);
        assert_eq!(samples["holdfast.entropy.available"], 256.0);
        assert_eq!((samples["holdfast.thread.count"], samples["holdfast.thread.limit"]), (93.0, 192_000.0));
    }

    #[test]
    fn no_limit_and_no_tracking_are_absent_not_zero() {
        let samples = Trees::of("host").samples(&mut Limits::new(Duration::from_secs(10)), 2);
        assert_eq!(samples.into_iter().collect::<Vec<_>>(), [("holdfast.file.open".to_owned(), 400.0)]);
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        assert_eq!(parse_files("1 2\n").unwrap_err().reason, "not three whole numbers");
        assert_eq!(parse_threads("0.1 0.2 0.3 x 4").unwrap_err().line, 1);
        assert!(only_number("many\n").is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[0-9 /.\\t]{0,60}\\PC{0,10}") {
            let _ = (parse_files(&text), parse_threads(&text), only_number(&text));
        }
    }
}
