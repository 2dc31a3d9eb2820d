//! How often a pair of numbers was seen: counts in a grid that fade, read and written between the four nearest cells.

use serde::{Deserialize, Serialize};

const SIDE: usize = 16;
/// When so many are counted, all counts are halved.
const REMEMBERED: f32 = 3000.0;

/// Counts of pairs. About 1 KiB.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Density {
    counts: Vec<f32>,
    total: f32,
}

impl Density {
    /// The surprise, `-ln` of how often such a pair was seen, and counts it. Both coordinates are told apart from -4 to 4.
    pub fn push(&mut self, across: f64, along: f64) -> f64 {
        if self.counts.len() != SIDE * SIDE {
            self.counts = vec![0.0; SIDE * SIDE];
        }
        let (row, down) = cell(across);
        let (column, right) = cell(along);
        let corners = [
            (0, 0, (1.0 - down) * (1.0 - right)),
            (1, 0, down * (1.0 - right)),
            (0, 1, (1.0 - down) * right),
            (1, 1, down * right),
        ];
        let mut seen = 0.0;
        for (below, beside, weight) in corners {
            let count = &mut self.counts[(row + below) * SIDE + column + beside];
            seen += weight * *count;
            *count += weight;
        }
        let surprise = -f64::from((seen + 0.3) / (self.total + 8.0)).ln();
        self.total += 1.0;
        if self.total > REMEMBERED {
            self.counts.iter_mut().for_each(|it| *it *= 0.5);
            self.total *= 0.5;
        }
        surprise
    }
}

fn cell(value: f64) -> (usize, f32) {
    let place = (value * 2.0 + SIDE as f64 / 2.0 - 0.5).clamp(0.0, SIDE as f64 - 1.001);
    (place as usize, place.fract() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_seen_surprises_more_than_the_usual() {
        let mut density = Density::default();
        for _ in 0..500 {
            density.push(0.1, -0.2);
        }
        let usual = density.clone().push(0.1, -0.2);
        let new = density.push(3.0, 3.0);
        assert!(new > usual + 4.0, "{new} {usual}");
    }
}
