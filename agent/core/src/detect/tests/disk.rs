//! Full and filling file systems.

use super::*;
use crate::model::Severity;

const MIB: f64 = 1_048_576.0;

struct Disk {
    stage: Stage,
    total: f64,
    keys: [SeriesKey; 4],
}

impl Disk {
    fn new(total: f64) -> Self {
        let base = [
            ("system.filesystem.mountpoint", "/srv"),
            ("system.filesystem.type", "ext4"),
            ("system.device", "/dev/vdb"),
        ];
        let with = |state: &'static str| [base[0], base[1], base[2], ("system.filesystem.state", state)];
        let gauge =
            |metric: &str, unit: &str, attributes: &[(&str, &str)]| key(metric, unit, MetricKind::Gauge, attributes);
        let keys = [
            gauge("system.filesystem.usage", "By", &with("used")),
            gauge("system.filesystem.usage", "By", &with("free")),
            gauge("system.filesystem.utilization", "1", &with("used")),
            gauge("system.filesystem.limit", "By", &base),
        ];
        Self { stage: Stage::new(DetectConfig::default()), total, keys }
    }

    /// Readings as the collector takes them.
    fn run(&mut self, readings: i64, every_s: u64, mut free: impl FnMut(i64, f64) -> f64) {
        for index in 0..readings {
            let noise = self.stage.noise();
            let free = free(index, noise).clamp(0.0, self.total).round();
            let used = self.total - free;
            let [a, b, c, d] = &self.keys;
            self.stage.tell(&[(a, used), (b, free), (c, used / self.total), (d, self.total)], every_s);
        }
    }

    #[track_caller]
    fn quiet(&self) {
        self.stage.silent();
    }
}

#[test]
fn a_small_file_system_that_fills_in_two_minutes_is_reported_well_before_it_is_full() {
    for fills_in_s in [40.0, 60.0, 90.0, 120.0] {
        let mut disk = Disk::new(64.0 * MIB);
        disk.run(12, 5, |_, _| 64.0 * MIB);
        let full_at = 60 + fills_in_s as i64;
        disk.run(30, 5, |index, _| 64.0 * MIB * (1.0 - index as f64 * 5.0 / fills_in_s));
        let turns = disk.stage.turns("disk.filling");
        let (said_at, presence) = turns[0];
        assert_eq!(presence, Presence::Present);
        assert!(said_at <= full_at - 10, "fills in {fills_in_s} s: said at {said_at}, full at {full_at}");
        let (_, first) = disk.stage.said.iter().find(|(_, it)| it.kind == "disk.filling").unwrap();
        assert_eq!(first.target, Target::filesystem("/srv"));
        let predicted = fact(&first.evidence, "filesystem.full_in_s");
        let truth = (full_at - said_at) as f64;
        assert!((predicted - truth).abs() <= 0.35 * truth + 5.0, "predicted {predicted}, truth {truth}");
        let (low, high) =
            (fact(&first.evidence, "filesystem.full_in_s_low"), fact(&first.evidence, "filesystem.full_in_s_high"));
        assert!(low <= predicted && predicted <= high);
        assert!(disk.stage.turns("disk.full").len() == 1, "then it is full");
    }
}

#[test]
fn filling_is_not_cleared_by_being_full() {
    let mut disk = Disk::new(64.0 * MIB);
    disk.run(100, 5, |index, _| 64.0 * MIB - index as f64 * 4.0 * MIB);
    assert_eq!(disk.stage.turns("disk.filling").len(), 1, "{:?}", disk.stage.turns("disk.filling"));
    // All the space comes back: both are cleared at once.
    let before = disk.stage.second();
    disk.run(12, 5, |_, _| 64.0 * MIB);
    for kind in ["disk.full", "disk.filling"] {
        let turns = disk.stage.turns(kind);
        let (at, presence) = turns[1];
        assert!(presence == Presence::Cleared && at <= before + 10, "{kind}: {turns:?}");
    }
}

#[test]
fn half_of_the_space_back_clears_it_within_half_a_minute() {
    let mut disk = Disk::new(64.0 * MIB);
    disk.run(12, 5, |index, _| 60.0 * MIB - index as f64 * 4.0 * MIB);
    assert_eq!(disk.stage.turns("disk.filling").len(), 1);
    let before = disk.stage.second();
    disk.run(12, 5, |_, _| 40.0 * MIB);
    let turns = disk.stage.turns("disk.filling");
    assert!(matches!(turns[..], [_, (at, Presence::Cleared)] if at <= before + 30), "{turns:?}, freed at {before}");
}

#[test]
fn a_slow_leak_is_seen_hours_ahead() {
    // 100 GiB, 30 GiB free, 2 GiB an hour, noise of 20 MiB.
    let gib = 1024.0 * MIB;
    let mut disk = Disk::new(100.0 * gib);
    disk.run(8 * 720, 5, |index, noise| 30.0 * gib - index as f64 / 720.0 * 2.0 * gib + 20.0 * MIB * noise);
    let turns = disk.stage.turns("disk.filling");
    let (at, _) = turns[0];
    assert!(at < 5 * 3600, "{turns:?}");
    assert_eq!(turns.len(), 1, "it stays: {turns:?}");
    let (_, first) = disk.stage.said.iter().find(|(_, it)| it.kind == "disk.filling").unwrap();
    let truth = 15.0 * 3600.0 - at as f64;
    let predicted = fact(&first.evidence, "filesystem.full_in_s");
    assert!((predicted - truth).abs() < 0.2 * truth, "predicted {predicted}, truth {truth}");
    assert!(first.severity <= Severity::Medium);
}

#[test]
fn a_flat_disk_and_a_noisy_one_are_quiet() {
    let mut disk = Disk::new(100.0 * 1024.0 * MIB);
    disk.run(17_280, 5, |_, _| 20.0 * 1024.0 * MIB);
    disk.run(17_280, 5, |_, noise| 20.0 * 1024.0 * MIB + 200.0 * MIB * noise);
    disk.quiet();
}

#[test]
fn a_wandering_disk_with_room_is_quiet() {
    let mut disk = Disk::new(100.0 * 1024.0 * MIB);
    let mut free = 50.0 * 1024.0 * MIB;
    disk.run(17_280, 5, |_, noise| {
        free += 4.0 * MIB * noise;
        free
    });
    disk.quiet();
}

#[test]
fn logs_that_are_rotated_are_quiet() {
    // 10 GiB; logs grow by 1.5 GiB in an hour and are then removed.
    let gib = 1024.0 * MIB;
    let mut disk = Disk::new(10.0 * gib);
    disk.run(24 * 720, 5, |index, noise| 4.0 * gib - (index % 720) as f64 / 720.0 * 1.5 * gib + MIB * noise);
    let turns = disk.stage.turns("disk.filling");
    // Before it was seen to turn a few times nobody can know.
    assert!(turns.iter().all(|(at, _)| *at <= 3 * 3700), "{turns:?}");
}

#[test]
fn builds_that_clean_up_after_themselves_are_known_after_the_first() {
    let gib = 1024.0 * MIB;
    let mut disk = Disk::new(20.0 * gib);
    disk.run(12 * 360, 5, |index, _| 15.0 * gib - (index % 360).min(120) as f64 / 120.0 * 8.0 * gib);
    let turns = disk.stage.turns("disk.filling");
    assert!(turns.iter().all(|(at, _)| *at <= 1900), "{turns:?}");
}

#[test]
fn one_large_file_is_no_trend() {
    let gib = 1024.0 * MIB;
    let mut disk = Disk::new(20.0 * gib);
    disk.run(720, 5, |index, _| if index < 300 { 15.0 * gib } else { 5.0 * gib });
    disk.quiet();
}

#[test]
fn a_big_disk_at_95_percent_has_room_and_a_small_one_has_not() {
    let mut disk = Disk::new(10_000.0 * 1024.0 * MIB);
    disk.run(100, 5, |_, _| 400.0 * 1024.0 * MIB);
    disk.quiet();
    let mut disk = Disk::new(1024.0 * MIB);
    disk.run(100, 5, |_, _| 30.0 * MIB);
    assert_eq!(disk.stage.turns("disk.full"), [(5, Presence::Present)]);
    disk.run(100, 5, |index, _| 30.0 * MIB + (index % 3) as f64 * 10.0 * MIB);
    assert_eq!(disk.stage.turns("disk.full").len(), 1, "no flapping at the limit");
}

#[test]
fn a_file_system_that_vanishes_leaves_the_question_open() {
    let mut disk = Disk::new(64.0 * MIB);
    disk.run(10, 5, |_, _| 0.0);
    disk.stage.run(&cpu(), 300, |_, _| 0.1);
    let turns = disk.stage.turns("disk.full");
    assert!(matches!(turns[..], [(_, Presence::Present), (_, Presence::Inconclusive)]), "{turns:?}");
}

#[test]
fn readings_every_second_work_too() {
    let mut disk = Disk::new(64.0 * MIB);
    disk.run(60, 1, |index, _| 64.0 * MIB - index as f64 * MIB);
    let turns = disk.stage.turns("disk.filling");
    assert!(matches!(turns[..], [(at, Presence::Present)] if at <= 30), "{turns:?}");
}

#[test]
fn an_ignored_mount_point_is_not_judged() {
    let mut disk = Disk::new(64.0 * MIB);
    let mut config = DetectConfig::default();
    config.disk.ignore = vec!["/srv".to_owned()];
    disk.stage = Stage::new(config);
    disk.run(20, 5, |_, _| 0.0);
    disk.quiet();
}
