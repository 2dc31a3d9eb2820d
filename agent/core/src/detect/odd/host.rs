//! How odd a moment is for a host or a unit: all its series together.
//!
//! Two views, because neither wins everywhere: how far the series lie from what each of them expects, on average, and how far the
//! whole lies from its centre by a robust, fading covariance (a series may be usual, and the way it goes with the others not). Both are in
//! the series' own scales, so they are added. The covariance is solved anew once for each as many rows as there are series, so a
//! row of `n` series costs O(n²). Too little history is 0. Series are ranked by what they contribute to both.

use serde::{Deserialize, Serialize};

use super::scaled::Scaled;
use crate::model::Timestamp;

/// Rows that the covariance remembers: rare ways to be are usual too, if they come again.
const REMEMBERED: f64 = 20_000.0;
/// Rows before anything is said.
const WARM: u64 = 200;
/// Added to each variance: series that never move alone give no answer.
const RIDGE: f64 = 0.3;
/// A row further away than this teaches the covariance less, by the square.
const FAR: f64 = 1.5;
/// The score holds on to a peak for about so many rows: what is wrong is wrong between two peaks.
const HOLD: f64 = 20.0;
/// Series named at most.
const NAMED_MAX: usize = 3;
/// Contributions hold on to a peak for about so many rows.
const NAMED_HOLD: f64 = 6.0;
/// Half of the scale from 0 to 1.
const HALF: f64 = 6.0;

/// What is said of one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostOddness {
    /// How odd the present is, 0 to 1.
    pub score: f64,
    /// Mean distance of a series from what it expects, in its scales.
    pub mean: f64,
    /// Of the whole from its centre, in robust standard deviations.
    pub distance: f64,
    /// The series that contribute most, by their place in the row, most first.
    pub named: Vec<usize>,
}

/// What one series says about the last row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostPart {
    /// Distance from what was expected, in the series' unit.
    pub away: f64,
    /// The same in the series' scales, large ones by their logarithm; never negative.
    pub scales: f64,
    /// What it contributes to the oddness of the whole, by the last few rows.
    pub contribution: f64,
}

/// Everything known about a group of series that come together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Host {
    rows: u64,
    each: Vec<Scaled>,
    /// Lower triangles, row by row.
    covariance: Vec<f64>,
    factor: Vec<f64>,
    contributions: Vec<f64>,
    held: f64,
}

impl Host {
    /// For rows of so many series.
    pub fn new(series: usize) -> Self {
        let cells = series * (series + 1) / 2;
        Self {
            each: vec![Scaled::seasonal(); series],
            covariance: vec![0.0; cells],
            factor: vec![0.0; cells],
            contributions: vec![0.0; series],
            ..Self::default()
        }
    }

    /// The same without seasons: series cost a twentieth of the memory.
    pub fn plain(series: usize) -> Self {
        Self { each: vec![Scaled::default(); series], ..Self::new(series) }
    }

    /// Series of a row.
    pub fn series(&self) -> usize {
        self.each.len()
    }

    /// Whether enough rows were seen to say anything.
    pub fn is_known(&self) -> bool {
        self.rows > WARM
    }

    /// What one series says about the last row, by its place.
    pub fn part(&self, place: usize) -> Option<HostPart> {
        let (each, contribution) = (self.each.get(place)?, self.contributions.get(place)?);
        Some(HostPart { away: each.away, scales: each.distance.abs(), contribution: *contribution })
    }

    /// One row; what is missing in it (not finite) takes no part. `least`: for each series what nobody would notice of it, in its
    /// unit, or 0 where that is not known.
    pub fn push(&mut self, at: Timestamp, row: &[f64], least: &[f64]) -> HostOddness {
        self.rows += 1;
        let at_s = at.ns() as f64 / 1e9;
        let given = row.iter().zip(least.iter().copied().chain(std::iter::repeat(0.0)));
        let scaled: Vec<f64> =
            self.each.iter_mut().zip(given).map(|(each, (value, least))| each.push(at_s, *value, least)).collect();
        let mean = scaled.iter().map(|it| it.abs()).sum::<f64>() / scaled.len().max(1) as f64;
        let pulled = self.pulled(&scaled);
        let parts = || scaled.iter().zip(&pulled).map(|(value, pulled)| value * pulled);
        let distance = (parts().sum::<f64>().max(0.0) / scaled.len().max(1) as f64).sqrt();
        for ((held, part), value) in self.contributions.iter_mut().zip(parts()).zip(&scaled) {
            *held = (*held * (1.0 - 1.0 / NAMED_HOLD)).max(part.max(0.0).sqrt() + value.abs());
        }
        self.learn(&scaled, distance);
        if self.rows <= WARM {
            return HostOddness::default();
        }
        self.held = (self.held * (1.0 - 1.0 / HOLD)).max(mean + distance);
        let mut named: Vec<usize> = (0..scaled.len()).collect();
        named.sort_by(|a, b| self.contributions[*b].total_cmp(&self.contributions[*a]));
        named.truncate(NAMED_MAX);
        HostOddness { score: self.held / (self.held + HALF), mean, distance, named }
    }

    /// The row through the inverse of the covariance, by its last factor: what remains of each series when the others have
    /// told what they know. Nought before there is a factor.
    fn pulled(&self, scaled: &[f64]) -> Vec<f64> {
        if self.rows <= WARM / 2 {
            return vec![0.0; scaled.len()];
        }
        let mut solved: Vec<f64> = Vec::with_capacity(scaled.len());
        for (row, value) in scaled.iter().enumerate() {
            let line = &self.factor[cell(row, 0)..=cell(row, row)];
            let known: f64 = line.iter().zip(&solved).map(|(a, b)| a * b).sum();
            solved.push((value - known) / line[row].max(f64::MIN_POSITIVE));
        }
        for row in (0..solved.len()).rev() {
            let line = &self.factor[cell(row, 0)..=cell(row, row)];
            let value = solved[row] / line[row].max(f64::MIN_POSITIVE);
            for (before, factor) in solved.iter_mut().zip(&line[..row]) {
                *before -= factor * value;
            }
            solved[row] = value;
        }
        solved
    }

    fn learn(&mut self, scaled: &[f64], distance: f64) {
        let weight = (1.0 / self.rows as f64).max(1.0 / REMEMBERED) / (distance / FAR).powi(2).max(1.0);
        let mut cells = self.covariance.iter_mut();
        for (row, value) in scaled.iter().enumerate() {
            for (other, cell) in scaled[..=row].iter().zip(&mut cells) {
                *cell += weight * (value * other - *cell);
            }
        }
        if self.rows.is_multiple_of(scaled.len().max(1) as u64) {
            self.solve(scaled.len());
        }
    }

    /// Cholesky's factor of the covariance.
    fn solve(&mut self, series: usize) {
        for row in 0..series {
            for column in 0..=row {
                let mut sum = self.covariance[cell(row, column)];
                for before in 0..column {
                    sum -= self.factor[cell(row, before)] * self.factor[cell(column, before)];
                }
                self.factor[cell(row, column)] = if row == column {
                    (sum + RIDGE).max(RIDGE / 10.0).sqrt()
                } else {
                    sum / self.factor[cell(column, column)]
                };
            }
        }
    }
}

/// Place in a lower triangle.
fn cell(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}
