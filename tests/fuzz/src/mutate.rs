//! Small changes of bytes, the same for the same seed.

/// A sequence of numbers (xorshift).
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// Any seed but 0 is one of its own.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// The next number below this; 0 for 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap_or(0).checked_rem(limit).unwrap_or(0)
    }
}

/// One to eight changes: another byte, a flipped bit, one less, one more, a piece twice, a piece of another, an end sooner.
pub fn mutate(data: &[u8], other: &[u8], seeded: &mut Seeded) -> Vec<u8> {
    let mut out = data.to_vec();
    for _ in 0..=seeded.below(8) {
        let at = seeded.below(out.len());
        let len = seeded.below(16).min(out.len() - at.min(out.len()));
        match seeded.below(7) {
            0 if !out.is_empty() => out[at] = seeded.below(256) as u8,
            1 if !out.is_empty() => out[at] ^= 1 << seeded.below(8),
            2 if !out.is_empty() => drop(out.drain(at..at + len)),
            3 => out.insert(at, seeded.below(256) as u8),
            4 => {
                let piece = out[at..at + len].to_vec();
                out.splice(at..at, piece);
            }
            5 => {
                let from = seeded.below(other.len());
                let piece = other[from..other.len().min(from + 16)].to_vec();
                out.splice(at..at, piece);
            }
            _ => out.truncate(out.len().saturating_sub(seeded.below(4))),
        }
    }
    out
}
