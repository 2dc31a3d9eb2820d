//! A file system that is really full, and has room again later.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use holdfast::store::{StoreEvent, TelemetryDb, TelemetryOptions};
use holdfast_core::model::SampleBatch;

use super::child::{at, options, series};

/// A few megabytes in memory, gone with this value.
struct Small<'d>(&'d Path);

fn mount(args: &[&str], dir: &Path) {
    #[expect(clippy::disallowed_methods, reason = "the suite's own file system")]
    let status = Command::new("mount").args(args).arg(dir).status().unwrap();
    assert!(status.success(), "mount {args:?}: {status}\nhint: run `cargo xtask faults` as root");
}

impl<'d> Small<'d> {
    fn new(dir: &'d Path) -> Self {
        mount(&["-t", "tmpfs", "-o", "size=3m", "tmpfs"], dir);
        Self(dir)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "the suite's own file system")]
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_full_file_system_costs_what_does_not_fit_into_memory_and_every_loss_is_counted() {
    const SERIES: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    let small = Small::new(dir.path());
    let options = TelemetryOptions { size_max_bytes: 64 << 20, ..options() };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let ids: Vec<_> = (0..SERIES).map(|n| db.registry().intern(&series(&format!("noise_{n}"))).0).collect();
    let mut tick = 0;
    let mut write = |count: u64| {
        for _ in 0..count {
            let noise = |n: usize| ((tick * 1_000 + n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 12) as f64;
            let samples = ids.iter().enumerate().map(|(n, id)| (*id, noise(n))).collect();
            db.write_batch(Arc::new(SampleBatch { at: at(tick), new_series: vec![], samples }));
            tick += 1;
            let _ = db.flush();
        }
        tick
    };
    let mut written = 0;
    while db.stats().failing.is_none() {
        written = write(50);
        assert!(written < 50_000, "three megabytes are never full");
    }
    write(700);
    let stats = db.stats();
    assert!(stats.waiting <= 600 && stats.lost >= 90 * SERIES as u64, "{stats:?}");
    assert!(stats.failing.as_deref().is_some_and(|why| why.contains("no space left")), "{stats:?}");

    mount(&["-o", "remount,size=64m"], dir.path());
    let all = write(10) * SERIES as u64;
    db.flush().unwrap();
    let stats = db.stats();
    assert_eq!((stats.waiting, stats.failing.as_deref()), (0, None));
    assert_eq!(stats.samples_stored + stats.lost, all, "after {written} ticks: {stats:?}");
    let events = db.take_events();
    let told = events.iter().find_map(|e| if let StoreEvent::WritingWorks { lost } = e { Some(*lost) } else { None });
    assert_eq!(told, Some(stats.lost), "{events:?}");
    let ledger: u64 = db.reader().gaps(at(0), 100).unwrap().iter().map(|gap| gap.count).sum();
    assert_eq!(ledger, stats.lost);
    db.close().unwrap();
    drop(small);
}
