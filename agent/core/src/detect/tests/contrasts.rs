//! Two changes of one kind close in time, of which one is guilty: what the contrast before and after each adds to the ranking.
//!
//! Scripted: how the effect comes, how the series comes and goes without it, and when the innocent change was. Nothing else tells the two
//! apart. The share is in docs/detection.md.

use std::fmt::Write as _;

use super::*;
use crate::correlate::rank;
use crate::model::{COURSE, Finding};

/// How the effect of the guilty change comes.
#[derive(Debug, Clone, Copy)]
enum Effect {
    /// At once.
    Step,
    /// At once, after two minutes of nothing.
    Late,
    /// Within so many minutes, evenly.
    Ramp(i64),
}

impl Effect {
    fn at(self, second: i64) -> f64 {
        match self {
            _ if second < 0 => 0.0,
            Self::Step => 1.0,
            Self::Late => f64::from(u8::from(second >= 120)),
            Self::Ramp(minutes) => (second as f64 / (60 * minutes) as f64).min(1.0),
        }
    }
}

/// How busy it is otherwise.
#[derive(Debug, Clone, Copy)]
enum Usual {
    Steady,
    Wave,
    Wanders,
}

const GUILTY_S: i64 = 3 * 3600;
/// When the innocent change was, in seconds after the guilty one.
const INNOCENT_S: [i64; 6] = [-480, -120, 90, 180, 360, 600];

/// The finding that the detectors make of it, as it was first said.
fn found(effect: Effect, usual: Usual) -> Finding {
    let mut stage = Stage::new(DetectConfig { standard_thresholds: false, ..DetectConfig::default() });
    let mut level = 0.0;
    for second in (0..GUILTY_S + 3600).step_by(5) {
        let noise = stage.noise();
        let rest = match usual {
            Usual::Steady => 0.1,
            Usual::Wave => 0.1 + 0.03 * (second as f64 / 2400.0).sin(),
            Usual::Wanders => {
                level = 0.99 * level + 0.003 * stage.noise();
                0.1 + level
            }
        };
        stage.tell(&[(&cpu(), rest + 0.01 * noise + 0.6 * effect.at(second - GUILTY_S))], 5);
    }
    let first = stage.said.iter().find(|(second, it)| *second >= GUILTY_S && it.kind == "metric.anomaly");
    let (second, said) = first.unwrap_or_else(|| panic!("{effect:?} {usual:?}: nothing was said"));
    Finding::opened(said, Timestamp::from_secs(START_S + second), &mut SeededIds(3))
}

/// Whether the guilty one is first.
fn is_first(finding: &Finding, innocent_s: i64) -> bool {
    let upgraded = |name: &str, second: i64| {
        change("package.upgraded", Target::new("package", name), Timestamp::from_secs(START_S + second))
    };
    let guilty = upgraded("libguilty", GUILTY_S);
    let mut changes = vec![guilty.clone(), upgraded("tzdata", GUILTY_S + innocent_s)];
    changes.sort_by_key(|it| it.at);
    rank(std::slice::from_ref(finding), &changes).first().is_some_and(|it| it.change == guilty.id)
}

#[test]
fn of_two_changes_of_one_kind_the_one_before_the_departure_began_to_grow_comes_first() {
    let effects = [Effect::Step, Effect::Late, Effect::Ramp(10), Effect::Ramp(30), Effect::Ramp(60)];
    let (mut table, mut all, mut sum) = (String::new(), 0, [0; 3]);
    for effect in effects {
        let mut first = [0; 3];
        for usual in [Usual::Steady, Usual::Wave, Usual::Wanders] {
            let finding = found(effect, usual);
            let without = |names: &[&str]| {
                let mut bare = finding.clone();
                bare.evidence.retain(|it| !names.contains(&it.name.as_str()));
                assert_eq!(bare.evidence.len() + names.len(), finding.evidence.len(), "all of it is told");
                bare
            };
            let ways = [finding.clone(), without(&[COURSE]), without(&[COURSE, "series.changed_at"])];
            for innocent_s in INNOCENT_S {
                all += 1;
                for (first, way) in first.iter_mut().zip(&ways) {
                    *first += usize::from(is_first(way, innocent_s));
                }
            }
        }
        let [both, point, neither] = first;
        let _ = writeln!(
            table,
            "{effect:?}: {both} of 18, {point} without the contrast, {neither} without the change point either"
        );
        sum.iter_mut().zip(first).for_each(|(sum, it)| *sum += it);
    }
    let [both, point, neither] = sum;
    let _ = writeln!(
        table,
        "{both} of {all} in all, {point} without the contrast, {neither} without the change point either"
    );
    insta::assert_snapshot!(table);
    assert!(both >= point && point > neither, "{table}");
}
