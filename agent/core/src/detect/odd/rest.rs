//! What was alarming a while ago is less so now: the fading memory of the last peak.
//!
//! What was just said need not be said again: only what exceeds it passes.

use serde::{Deserialize, Serialize};

/// The fading memory of the last peak.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Fading {
    height: f64,
}

impl Fading {
    pub(super) fn height(self) -> f64 {
        self.height
    }

    pub(super) fn learn(&mut self, height: f64, fade: f64) {
        self.height = (self.height * (1.0 - 1.0 / fade)).max(height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_peak_fades() {
        let mut fading = Fading::default();
        fading.learn(8.0, 200.0);
        for _ in 0..1000 {
            fading.learn(0.0, 200.0);
        }
        assert!(fading.height() < 0.1);
    }
}
