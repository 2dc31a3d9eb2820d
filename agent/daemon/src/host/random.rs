//! Randomness of the operating system, for ids.

use holdfast_core::model::IdSource;

/// Random bytes from the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom {
    fallback: u64,
}

impl IdSource for OsRandom {
    /// From `getrandom`. Where the kernel refuses (it doesn't, on Linux 3.17 and later), a counter keeps ids unique in this process.
    fn random(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        if getrandom::fill(&mut bytes).is_err() {
            self.fallback += 1;
            bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
            bytes[4..].copy_from_slice(&self.fallback.to_le_bytes()[..6]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let mut random = OsRandom::default();
        assert_ne!(random.random(), random.random());
    }
}
