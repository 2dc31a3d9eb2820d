//! Twelve hours without a receiver, in fast time: nothing is lost, and nothing comes twice but what nobody can tell.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const HOUR: i64 = 3_600;
const NAMES: [&str; 2] = ["test.level", "test.total"];

fn open(dir: &Path, retention: Duration) -> TelemetryDb {
    TelemetryDb::open(dir, TelemetryOptions { opened_at: at(0), retention, ..TelemetryOptions::default() }).unwrap()
}

impl Host {
    fn with_retention(retention: Duration) -> Self {
        let mut host = Self::new();
        host.telemetry.close().unwrap();
        std::fs::remove_file(host.dir.path().join("telemetry.db")).unwrap();
        host.telemetry = open(host.dir.path(), retention);
        host
    }

    fn many_ticks(&self, seconds: std::ops::Range<i64>) {
        let all: Vec<i64> = seconds.collect();
        // As much as may wait for the writer.
        all.chunks(200).for_each(|chunk| self.ticks(chunk[0]..chunk[chunk.len() - 1] + 1));
    }
}

fn full_size(endpoint: &str) -> ExportConfig {
    ExportConfig {
        name: "central".into(),
        samples_max: 8_192,
        streams: vec![Stream::Metrics],
        timeout: Duration::from_secs(5),
        compression: Compression::None,
        ..quick(endpoint)
    }
}

/// An address at which nobody answers.
async fn nobody() -> std::net::SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// How often each second of a metric came.
fn times(bodies: Vec<Vec<u8>>, name: &str) -> BTreeMap<i64, usize> {
    points_of(bodies, name).into_iter().fold(BTreeMap::new(), |mut counts, (second, _)| {
        *counts.entry(second).or_default() += 1;
        counts
    })
}

#[tokio::test]
async fn twelve_hours_of_outage_are_made_up_for_without_loss_or_duplicates() {
    let host = Host::with_retention(Duration::from_hours(24));
    host.many_ticks(0..600);
    let address = nobody().await;
    let handle = host.export_with(full_size(&format!("http://{address}")));
    until("failures", || handle.status().failures >= 3).await;
    host.many_ticks(600..12 * HOUR);
    assert_eq!(handle.status().streams["metrics"].sent, 0);
    assert_eq!(handle.status().lag_s, 12 * HOUR as u64 - 1);

    // Back, but not well: busy at first, then a request is taken and never answered, later one is only partly taken.
    let receiver = Receiver::start_on(tokio::net::TcpListener::bind(address).await.unwrap());
    for (status, retry_after) in
        [(503, Some("0")), (429, None), (502, None), (200, None), (504, None), (200, None), (0, None)]
    {
        receiver.will("/v1/metrics", status, retry_after, vec![]);
    }
    until("a third sent", || handle.status().streams["metrics"].sent >= 2 * 4 * HOUR as u64).await;
    // The agent is stopped in the midst of it, and started again.
    host.stop(handle).await;
    let before_restart = receiver.bodies("/v1/metrics").len();
    let handle = host.export_with(full_size(&receiver.endpoint));
    host.many_ticks(12 * HOUR..12 * HOUR + 700);
    let end = 12 * HOUR + 700;
    until("all sent", || handle.status().streams["metrics"].position == end as u64).await;
    host.stop(handle).await;

    let bodies = receiver.bodies("/v1/metrics");
    // Answered with a code that means "again": not taken. The seventh and the last before the stop: nobody can tell.
    let refused = [0, 1, 2, 4];
    let taken: Vec<Vec<u8>> =
        bodies.iter().enumerate().filter(|(n, _)| !refused.contains(n)).map(|(_, b)| b.clone()).collect();
    let ambiguous = vec![bodies[6].clone(), bodies[before_restart - 1].clone()];
    for name in NAMES {
        let counts = times(taken.clone(), name);
        let seconds: Vec<i64> = counts.keys().copied().collect();
        assert_eq!(seconds, (0..end).collect::<Vec<_>>(), "{name}: every second arrived");
        let twice: BTreeSet<i64> = counts.iter().filter(|(_, n)| **n > 1).map(|(s, _)| *s).collect();
        let may: BTreeSet<i64> = times(ambiguous.clone(), name).into_keys().collect();
        assert!(twice.is_subset(&may), "{name}: {} seconds came twice", twice.len());
        let hung: BTreeSet<i64> = times(vec![bodies[6].clone()], name).into_keys().collect();
        assert!(hung.is_subset(&twice), "{name}: what was not answered is sent again");
    }
    assert_eq!(host.gaps(), []);
}

#[tokio::test]
async fn what_retention_took_during_an_outage_is_exactly_what_the_ledger_says() {
    let host = Host::with_retention(Duration::from_hours(6));
    let first = Receiver::start().await;
    host.many_ticks(0..HOUR);
    let handle = host.export_with(full_size(&first.endpoint));
    until("an hour sent", || handle.status().streams["metrics"].position == HOUR as u64).await;
    host.stop(handle).await;

    let handle = host.export_with(full_size(&format!("http://{}", nobody().await)));
    host.many_ticks(HOUR..HOUR + 1);
    until("failures", || handle.status().failures >= 1).await;
    host.many_ticks(HOUR + 1..12 * HOUR);
    host.stop(handle).await;

    let second = Receiver::start().await;
    let handle = host.export_with(full_size(&second.endpoint));
    until("all dealt with", || handle.status().streams["metrics"].position == 12 * HOUR as u64).await;
    host.stop(handle).await;

    let gaps = host.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    // Tick numbers begin with 1, seconds with 0.
    let words: Vec<&str> = gaps[0].reason.split_whitespace().collect();
    assert_eq!((words[0], words[1], words[3]), ("central:", "ticks", "to"), "{}", gaps[0].reason);
    let (from, to): (i64, i64) = (words[2].parse().unwrap(), words[4].parse().unwrap());
    assert_eq!((from, gaps[0].count as i64), (HOUR + 1, to - from + 1));
    assert!(to > 5 * HOUR, "retention took something: {}", gaps[0].reason);
    assert!(gaps[0].reason.contains(&at(to).to_string()), "{}", gaps[0].reason);
    for name in NAMES {
        assert_eq!(points(&first, name), numbered(0..HOUR));
        assert_eq!(points(&second, name), numbered(to..12 * HOUR));
    }
}
