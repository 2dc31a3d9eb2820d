//! The score of the Numenta Anomaly Benchmark (A. Lavin, S. Ahmad, "Evaluating real-time anomaly detection algorithms", ICMLA 2015).
//!
//! Each window earns the weight of the earliest row detected in it, a false row costs by its distance behind the last window, a
//! missed window costs a whole one. One threshold for all files. 0 is a detector that says nothing, 100 one that says all at
//! once and nothing else.

use crate::corpus::File;

/// What a true positive, a miss and a false positive weigh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    missed: f64,
    wrong: f64,
}

pub(crate) const PROFILES: [Profile; 3] = [
    Profile { name: "standard", missed: 1.0, wrong: 0.11 },
    Profile { name: "low_FP", missed: 1.0, wrong: 0.22 },
    Profile { name: "low_FN", missed: 2.0, wrong: 0.11 },
];

fn sigmoid(at: f64) -> f64 {
    2.0 / (1.0 + (5.0 * at).exp()) - 1.0
}

/// What lowering the threshold to `score` adds to the sum.
struct Gain {
    score: f64,
    gain: f64,
}

/// (threshold, score) from the highest threshold to the lowest.
pub(crate) fn curve(files: &[(&File, &[f64])], profile: Profile) -> Vec<(f64, f64)> {
    let mut gains = Vec::new();
    let (mut base, mut windows) = (0.0, 0.0);
    for (file, score) in files {
        windows += file.windows.len() as f64;
        let weight = weights(score.len(), &file.windows);
        let inside = |row: usize| file.windows.iter().any(|&(from, to)| from <= row && row <= to);
        for row in (file.skip..score.len()).filter(|&row| !inside(row)) {
            gains.push(Gain { score: score[row], gain: weight[row] * profile.wrong });
        }
        for &(from, to) in &file.windows {
            let mut rows: Vec<usize> = (from.max(file.skip)..=to).collect();
            if rows.is_empty() {
                continue;
            }
            base -= profile.missed;
            rows.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
            let mut best = -profile.missed;
            for row in rows {
                let better = best.max(weight[row]);
                gains.push(Gain { score: score[row], gain: better - best });
                best = better;
            }
        }
    }
    gains.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (silent, perfect) = (-profile.missed * windows, windows);
    let scaled = |sum: f64| 100.0 * (sum - silent) / (perfect - silent);
    let mut curve = vec![(1.1, scaled(base))];
    let mut sum = base;
    for (index, it) in gains.iter().enumerate() {
        sum += it.gain;
        if gains.get(index + 1).is_none_or(|next| next.score != it.score) {
            curve.push((it.score, scaled(sum)));
        }
    }
    curve
}

/// The best threshold on the very files that are scored, as the benchmark itself does it: (score, threshold).
pub(crate) fn best(curve: &[(f64, f64)]) -> (f64, f64) {
    curve.iter().fold((f64::MIN, 0.0), |best, &(at, score)| if score > best.0 { (score, at) } else { best })
}

/// With this threshold.
pub(crate) fn at(curve: &[(f64, f64)], threshold: f64) -> f64 {
    curve.iter().rev().find(|(at, _)| *at >= threshold).map_or(f64::NAN, |it| it.1)
}

fn weights(rows: usize, windows: &[(usize, usize)]) -> Vec<f64> {
    let mut all = vec![-1.0; rows];
    let top = sigmoid(-1.0);
    for (index, &(from, to)) in windows.iter().enumerate() {
        let width = (to - from + 1) as f64;
        for (row, weight) in all.iter_mut().enumerate().take(to + 1).skip(from) {
            *weight = sigmoid(-((to - row + 1) as f64) / width) / top;
        }
        let next = windows.get(index + 1).map_or(rows, |it| it.0);
        for (row, weight) in all.iter_mut().enumerate().take(next).skip(to + 1) {
            let behind = (row - to) as f64 / (width - 1.0).max(1e-9);
            *weight = if behind > 3.0 { -1.0 } else { sigmoid(behind) };
        }
    }
    all
}
