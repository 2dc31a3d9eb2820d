//! What a person on call would see: pages that were false, windows noticed, and how late.

use holdfast_core::stats::robust::median;

use crate::corpus::File;

/// After a page nothing more is paged for so long.
const QUIET_S: i64 = 3600;

/// Of one suite at one threshold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages {
    pub(crate) wrong: usize,
    pub(crate) days: f64,
    pub(crate) windows: usize,
    pub(crate) noticed: usize,
    pub(crate) delay_s: f64,
}

impl Pages {
    pub(crate) fn false_per_day(&self) -> f64 {
        self.wrong as f64 / self.days
    }

    pub(crate) fn recall(&self) -> f64 {
        self.noticed as f64 / self.windows as f64
    }
}

pub(crate) fn at(files: &[(&File, &[f64])], threshold: f64) -> Pages {
    let mut pages = Pages::default();
    let mut delays = Vec::new();
    for (file, score) in files {
        let inside = |row: usize| file.windows.iter().any(|&(from, to)| from <= row && row <= to);
        let mut last: Option<i64> = None;
        for row in file.skip..score.len() {
            if score[row] >= threshold && last.is_none_or(|then| file.at_s[row] - then > QUIET_S) {
                last = Some(file.at_s[row]);
                pages.wrong += usize::from(!inside(row));
            }
            if !inside(row) {
                pages.days += file.period_s / 86_400.0;
            }
        }
        for &(from, to) in file.windows.iter().filter(|it| it.1 >= file.skip) {
            pages.windows += 1;
            if let Some(row) = (from.max(file.skip)..=to).find(|&row| score[row] >= threshold) {
                pages.noticed += 1;
                delays.push((file.at_s[row] - file.at_s[from]) as f64);
            }
        }
    }
    pages.delay_s = median(&mut delays).unwrap_or(f64::NAN);
    pages
}

/// At the threshold that notices this part of the windows.
pub(crate) fn at_recall(files: &[(&File, &[f64])], recall: f64) -> Option<Pages> {
    let mut highest = Vec::new();
    for (file, score) in files {
        for &(from, to) in file.windows.iter().filter(|it| it.1 >= file.skip) {
            highest.push(score[from.max(file.skip)..=to].iter().copied().fold(f64::MIN, f64::max));
        }
    }
    highest.sort_by(f64::total_cmp);
    let place = (highest.len() as f64 * (1.0 - recall)) as usize;
    highest.get(place).map(|threshold| at(files, *threshold))
}
