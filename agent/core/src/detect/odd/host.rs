//! How odd a moment is for a host or a unit: all its series together.
//!
//! Two views, because neither wins everywhere: the mean of the three oddest series, and how far the whole
//! lies from its centre by a robust, fading covariance (a series may be usual, and the way it goes with the others not).
//! Series are scaled first. The covariance is solved anew once for each as many rows as there are series, so a row of `n` series costs
//! O(n²). Too little history is 0. The series that contribute are ranked by their own oddness.

use serde::{Deserialize, Serialize};

use super::{Level, Odd, Oddness};
use crate::model::Timestamp;

/// Rows that the covariance remembers.
const REMEMBERED: f64 = 4000.0;
/// Rows before anything is said.
const WARM: u64 = 200;
/// Added to each variance: series that never move alone give no answer.
const RIDGE: f64 = 0.1;
/// A series counts at most so many of its scales.
const CUT: f64 = 100.0;
/// Series named at most.
const NAMED_MAX: usize = 3;
/// Contributions hold on to a peak for about so many rows.
const HOLD: f64 = 6.0;

/// What is said of one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostOddness {
    /// How odd the present is, 0 to 1.
    pub score: f64,
    /// Mean of the three oddest series, in about powers of ten.
    pub oddest: f64,
    /// From the centre, in robust standard deviations.
    pub distance: f64,
    /// The series that contribute most, by their place in the row, most first.
    pub named: Vec<usize>,
}

/// Everything known about a group of series that come together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Host {
    rows: u64,
    each: Vec<Odd>,
    levels: Vec<Level>,
    /// Lower triangles, row by row.
    covariance: Vec<f64>,
    factor: Vec<f64>,
    contributions: Vec<f64>,
}

impl Host {
    /// For rows of so many series.
    pub fn new(series: usize) -> Self {
        let cells = series * (series + 1) / 2;
        Self {
            each: vec![Odd::default(); series],
            levels: vec![Level::default(); series],
            covariance: vec![0.0; cells],
            factor: vec![0.0; cells],
            contributions: vec![0.0; series],
            ..Self::default()
        }
    }

    /// One row; what is missing in it (not finite) takes no part.
    pub fn push(&mut self, at: Timestamp, row: &[f64]) -> HostOddness {
        self.rows += 1;
        let each: Vec<Oddness> = self.each.iter_mut().zip(row).map(|(odd, value)| odd.push(at, *value, 0.0)).collect();
        let scaled = self.scale(row);
        let distance = self.distance(&scaled);
        self.learn(&scaled, distance);
        let mut top = [0.0_f64; 3];
        for (index, odd) in each.iter().enumerate() {
            let held = self.each[index].held();
            if held > top[2] {
                top[2] = held;
                top.sort_by(|a, b| b.total_cmp(a));
            }
            let contribution = odd.rarity + 0.3 * scaled[index].abs();
            self.contributions[index] = (self.contributions[index] * (1.0 - 1.0 / HOLD)).max(contribution);
        }
        if self.rows <= WARM {
            return HostOddness::default();
        }
        let oddest = top.iter().sum::<f64>() / 3.0;
        let both = oddest + distance.ln_1p();
        let mut named: Vec<usize> = (0..row.len()).collect();
        named.sort_by(|a, b| self.contributions[*b].total_cmp(&self.contributions[*a]));
        named.truncate(NAMED_MAX);
        HostOddness { score: both / (both + 4.0), oddest, distance, named }
    }

    fn scale(&mut self, row: &[f64]) -> Vec<f64> {
        let weight = (1.0 / self.rows as f64).max(1.0 / REMEMBERED);
        let scale = |(level, value): (&mut Level, &f64)| {
            if !value.is_finite() {
                return 0.0;
            }
            if self.rows == 1 {
                *level = Level { at: *value, scale: 0.0 };
            }
            let least = (1e-3 * level.at.abs()).max(1e-3);
            let scaled = (value - level.at) / level.scale.max(least);
            level.learn(*value, weight, weight, least);
            scaled.clamp(-CUT, CUT)
        };
        self.levels.iter_mut().zip(row).map(scale).collect()
    }

    /// From the centre, by the last solved covariance; 0 before there is one.
    fn distance(&self, scaled: &[f64]) -> f64 {
        if self.rows <= WARM / 2 {
            return 0.0;
        }
        let mut solved: Vec<f64> = Vec::with_capacity(scaled.len());
        let (mut begin, mut sum) = (0, 0.0);
        for (row, value) in scaled.iter().enumerate() {
            let line = &self.factor[begin..=begin + row];
            let known: f64 = line.iter().zip(&solved).map(|(a, b)| a * b).sum();
            let pivot = line[row];
            let part = if pivot > 0.0 { (value - known) / pivot } else { 0.0 };
            sum += part * part;
            solved.push(part);
            begin += row + 1;
        }
        (sum / scaled.len().max(1) as f64).sqrt()
    }

    fn learn(&mut self, scaled: &[f64], distance: f64) {
        // A far row teaches less.
        let weight = (1.0 / self.rows as f64).max(1.0 / REMEMBERED) / (distance / 3.0).powi(2).max(1.0);
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
        let cell = |row: usize, column: usize| row * (row + 1) / 2 + column;
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
