//! Volume under the range-based precision-recall surface (J. Paparrizos et al., "Volume under the surface", VLDB 2022).
//!
//! The labelled ranges get soft borders of every width up to [`BUFFER_MAX`]; recall and precision count them by their weight,
//! and recall also by whether a range was touched at all. No threshold, no point adjustment.

/// Widest border, in rows; both sides together.
const BUFFER_MAX: usize = 50;
/// Thresholds: so many ranks of the score.
const THRESHOLDS: usize = 250;

/// `None` without a labelled row.
pub(crate) fn vus_pr(label: &[bool], score: &[f64]) -> Option<f64> {
    let n = label.len();
    let ranges = ranges(label);
    if ranges.is_empty() {
        return None;
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
    let step = (n - 1) as f64 / (THRESHOLDS - 1) as f64;
    let thresholds: Vec<f64> = (0..THRESHOLDS).map(|k| score[order[((k as f64 * step) as usize).min(n - 1)]]).collect();
    // Rows at or above each threshold.
    let predicted: Vec<usize> =
        thresholds.iter().map(|limit| order.partition_point(|row| score[*row] >= *limit)).collect();
    let labelled = label.iter().filter(|it| **it).count() as f64;
    let mut scope = vec![false; n];
    for (from, to) in merged(&ranges, BUFFER_MAX / 2, n) {
        scope[from..=to].fill(true);
    }
    let areas = (0..=BUFFER_MAX).map(|width| {
        let half = width / 2;
        let mut soft = vec![0.0_f64; n];
        if half > 0 {
            for &(from, to) in &ranges {
                let fade = |distance: usize| (1.0 - distance as f64 / width as f64).sqrt();
                for (row, soft) in soft.iter_mut().enumerate().take(to + half + 1).skip(to + 1) {
                    *soft += fade(row - to);
                }
                for (row, soft) in soft.iter_mut().enumerate().take(from).skip(from.saturating_sub(half)) {
                    *soft += fade(from - row);
                }
            }
        }
        let seen = merged(&ranges, half, n);
        let mut highest: Vec<f64> =
            seen.iter().map(|&(from, to)| score[from..=to].iter().copied().fold(f64::MIN, f64::max)).collect();
        highest.sort_by(f64::total_cmp);
        let (mut hit, mut border, mut rows) = (0.0, 0.0, 0);
        let (mut area, mut recall_before) = (0.0, 0.0);
        for (limit, &count) in thresholds.iter().zip(&predicted) {
            while rows < count {
                let row = order[rows];
                if label[row] {
                    hit += 1.0;
                } else if scope[row] {
                    let weight = soft[row].min(1.0);
                    hit += weight;
                    border += weight;
                }
                rows += 1;
            }
            let touched = highest.len() - highest.partition_point(|it| it < limit);
            let recall =
                (hit / f64::midpoint(labelled, labelled + border)).min(1.0) * touched as f64 / seen.len() as f64;
            area += (recall - recall_before) * hit / count as f64;
            recall_before = recall;
        }
        area
    });
    Some(areas.sum::<f64>() / (BUFFER_MAX + 1) as f64)
}

/// First and last row of each run of labels.
fn ranges(label: &[bool]) -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for row in (0..label.len()).filter(|&row| label[row]) {
        match all.last_mut() {
            Some((_, to)) if *to + 1 == row => *to = row,
            _ => all.push((row, row)),
        }
    }
    all
}

/// The ranges, wider by `half` on both sides; those that touch become one.
fn merged(ranges: &[(usize, usize)], half: usize, n: usize) -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for &(from, to) in ranges {
        let (from, to) = (from.saturating_sub(half), (to + half).min(n - 1));
        match all.last_mut() {
            Some((_, end)) if *end >= from => *end = to,
            _ => all.push((from, to)),
        }
    }
    all
}
