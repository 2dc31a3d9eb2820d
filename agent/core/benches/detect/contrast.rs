//! What the contrast before and after a deployment is worth: flags where nothing was deployed, and shifts noticed.
//!
//! Moments without a labelled window near them, in the unlabelled and the labelled part alike; 3000 to 8000 samples before and 60 after. Every
//! sample is looked at. A shift is added to the samples after: so many robust standard deviations of the history.

use holdfast_core::stats::placebo::{HISTORY_MIN, LOOKS_MAX, Placebo, Shift};
use holdfast_core::stats::robust::Location;
use serde_json::json;

use crate::corpus::File;

const ALPHA: f64 = 0.05;
/// Moments of one file.
const MOMENTS: usize = 40;
/// Samples of history at most.
const HISTORY_MAX: usize = 8000;
/// Series that are judged together, as by the gate.
const FEW: usize = 10;
/// Looks before the gate says anything.
const LOOKS_MIN: usize = 3;
const SHIFTS: [f64; 2] = [2.0, 4.0];

#[derive(Default, Clone, Copy)]
struct Count {
    moments: usize,
    flagged: usize,
    joint_moments: usize,
    joint_flagged: usize,
    noticed: [usize; 2],
    shifted: usize,
    joint_noticed: [usize; 2],
    /// Of as many series as the gate asks.
    few_moments: usize,
    few_flagged: usize,
    /// And would fail the gate: a rise by more than a tenth of the level and what nobody would notice.
    few_failed: usize,
    few_shifted: usize,
    few_noticed: [usize; 2],
    short: usize,
}

impl Count {
    fn add(&mut self, other: &Self) {
        let both = |a: [usize; 2], b: [usize; 2]| [a[0] + b[0], a[1] + b[1]];
        self.moments += other.moments;
        self.flagged += other.flagged;
        self.joint_moments += other.joint_moments;
        self.joint_flagged += other.joint_flagged;
        self.noticed = both(self.noticed, other.noticed);
        self.shifted += other.shifted;
        self.joint_noticed = both(self.joint_noticed, other.joint_noticed);
        self.few_moments += other.few_moments;
        self.few_flagged += other.few_flagged;
        self.few_failed += other.few_failed;
        self.few_shifted += other.few_shifted;
        self.few_noticed = both(self.few_noticed, other.few_noticed);
        self.short += other.short;
    }
}

/// All files of a suite, and every second of them: what was chosen on the one half is to hold on the other.
pub(crate) fn report(suite: &str, files: &[&File], as_json: bool) {
    let counts: Vec<Count> = files
        .iter()
        .map(|file| {
            let mut count = Count::default();
            one(file, &mut count);
            count
        })
        .collect();
    let sum = |part: &dyn Fn(usize) -> bool| {
        let mut sum = Count::default();
        counts.iter().enumerate().filter(|it| part(it.0)).for_each(|it| sum.add(it.1));
        sum
    };
    print(suite, files.len(), &sum(&|_| true), as_json);
    print(&format!("{suite}, the 1st, 3rd, .."), files.len().div_ceil(2), &sum(&|at| at % 2 == 0), as_json);
    print(&format!("{suite}, the 2nd, 4th, .."), files.len() / 2, &sum(&|at| at % 2 == 1), as_json);
}

fn print(suite: &str, files: usize, count: &Count, as_json: bool) {
    let share = |of: usize, all: usize| of as f64 / all as f64;
    let alone = share(count.flagged, count.moments);
    let power = count.noticed.map(|it| share(it, count.shifted));
    let joint = share(count.joint_flagged, count.joint_moments);
    let joint_power = count.joint_noticed.map(|it| share(it, count.shifted));
    let few = share(count.few_flagged, count.few_moments);
    let failed = share(count.few_failed, count.few_moments);
    let few_power = count.few_noticed.map(|it| share(it, count.few_shifted));
    if as_json {
        println!(
            "{}",
            json!({"bench": "contrast", "suite": suite, "moments": count.moments, "flagged": alone, "power": power,
                "host_moments": count.joint_moments, "host_flagged": joint, "host_power": joint_power,
                "few_moments": count.few_moments, "few_flagged": few, "few_failed": failed, "few_power": few_power, "inconclusive_files": count.short})
        );
        return;
    }
    println!("== {suite}: {files} files, {} of them with too little history (inconclusive)", count.short);
    println!(
        "   one series: {:.1} % of {} moments flagged without a change; noticed of a shift by 2 {:.2}, by 4 {:.2} standard deviations",
        100.0 * alone,
        count.moments,
        power[0],
        power[1]
    );
    println!(
        "   {FEW} series together: {:.1} % of {} moments flagged without a change, {:.1} % failed by the gate; noticed of a shift of one series by 2 {:.2}, by 4 {:.2}",
        100.0 * few,
        count.few_moments,
        100.0 * failed,
        few_power[0],
        few_power[1]
    );
    println!(
        "   all series of a host: {:.1} % of {} moments flagged without a change; noticed of a shift of one series by 2 {:.2}, by 4 {:.2}",
        100.0 * joint,
        count.joint_moments,
        joint_power[0],
        joint_power[1]
    );
}

/// As many series as the gate asks, judged together.
fn few(history: &[&[f64]], columns: &[Vec<f64>], at: usize, incidents: &[std::ops::Range<usize>], count: &mut Count) {
    let Some(all) = Placebo::of(history, 0, incidents) else { return };
    let fails = |index: usize, after: &[f64]| {
        let worse =
            |it: &Shift| it.p <= ALPHA && it.lasts && it.by > crate::PART_OF_SCALE && it.by > 0.1 * it.before.abs();
        all.shift(index, after).as_ref().is_some_and(worse)
    };
    // It is asked at any look, and one fail is the answer.
    let ever = |(index, it): (usize, &Vec<f64>)| (LOOKS_MIN..=LOOKS_MAX).any(|looks| fails(index, &it[at..at + looks]));
    count.few_failed += usize::from(columns.iter().enumerate().any(ever));
    let flags = |index: usize, after: &[f64]| all.shift(index, after).is_some_and(|it| it.p <= ALPHA);
    count.few_moments += 1;
    count.few_flagged +=
        usize::from(columns.iter().enumerate().any(|(index, it)| flags(index, &it[at..at + LOOKS_MAX])));
    for (index, series) in history.iter().enumerate() {
        let sigma = Location::of(&mut series.to_vec()).map_or(0.0, |it| it.scale);
        if sigma > 0.0 {
            count.few_shifted += 1;
            for (place, shift) in SHIFTS.iter().enumerate() {
                let moved: Vec<f64> = columns[index][at..at + LOOKS_MAX].iter().map(|it| it + shift * sigma).collect();
                count.few_noticed[place] += usize::from(flags(index, &moved));
            }
        }
    }
}

fn one(file: &File, count: &mut Count) {
    let rows = file.rows.len();
    if rows < HISTORY_MIN + LOOKS_MAX {
        count.short += 1;
        return;
    }
    let columns: Vec<Vec<f64>> =
        (0..file.rows[0].len()).map(|column| file.rows.iter().map(|row| row[column]).collect()).collect();
    let step = ((rows - HISTORY_MIN - LOOKS_MAX) / MOMENTS).max(1);
    for at in (HISTORY_MIN..rows - LOOKS_MAX).step_by(step).take(MOMENTS) {
        let span = at - 60..at + LOOKS_MAX;
        if file.windows.iter().any(|&(from, to)| from < span.end && to >= span.start) {
            continue;
        }
        let begin = at.saturating_sub(HISTORY_MAX);
        let incidents: Vec<_> = file
            .windows
            .iter()
            .filter(|it| it.1 < at && it.1 >= begin)
            .map(|it| it.0.saturating_sub(begin)..it.1 + 1 - begin)
            .collect();
        let history: Vec<&[f64]> = columns.iter().map(|it| &it[begin..at]).collect();
        for (chunk, columns) in history.chunks(FEW).zip(columns.chunks(FEW)).filter(|it| it.0.len() > 1) {
            few(chunk, columns, at, &incidents, count);
        }
        let Some(all) = Placebo::of(&history, 0, &incidents) else { continue };
        let mut any = false;
        for (index, series) in history.iter().enumerate() {
            let after = &columns[index][at..at + LOOKS_MAX];
            let sigma = Location::of(&mut series.to_vec()).map_or(0.0, |it| it.scale);
            let joint = |after: &[f64]| all.shift(index, after).is_some_and(|it| it.p <= ALPHA);
            any |= joint(after);
            let Some(own) = Placebo::of(&[series], 0, &incidents) else { continue };
            let alone = |after: &[f64]| own.shift(0, after).is_some_and(|it| it.p <= ALPHA);
            count.moments += 1;
            count.flagged += usize::from(alone(after));
            if sigma > 0.0 {
                count.shifted += 1;
                for (place, shift) in SHIFTS.iter().enumerate() {
                    let moved: Vec<f64> = after.iter().map(|it| it + shift * sigma).collect();
                    count.noticed[place] += usize::from(alone(&moved));
                    count.joint_noticed[place] += usize::from(joint(&moved));
                }
            }
        }
        count.joint_moments += 1;
        count.joint_flagged += usize::from(any);
    }
}
