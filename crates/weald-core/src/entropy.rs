//! Randomness as a value.

use crate::Digest;

/// Where random bytes come from. Drivers hand in the operating system's; tests and the simulator
/// hand in [`SeededEntropy`].
pub trait Entropy {
    /// Fills `bytes` with random ones.
    fn fill(&mut self, bytes: &mut [u8]);

    /// Draws `N` random bytes.
    fn draw<const N: usize>(&mut self) -> [u8; N]
    where
        Self: Sized,
    {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// Reproducible bytes: SHA-256 over a seed and a counter. One seed gives one stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeededEntropy {
    seed: u64,
    counter: u64,
}

impl SeededEntropy {
    /// The stream of `seed`, from its beginning.
    pub const fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let parts = [self.seed.to_le_bytes(), self.counter.to_le_bytes()];
            let digest = Digest::of("weald entropy", &[&parts[0], &parts[1]]);
            chunk.copy_from_slice(&digest.as_bytes()[..chunk.len()]);
            self.counter += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream() {
        let (mut a, mut b) = (SeededEntropy::new(7), SeededEntropy::new(7));
        assert_eq!(a.draw::<40>(), b.draw::<40>());
        assert_eq!(a.draw::<8>(), b.draw::<8>());
        assert_ne!(a.draw::<8>(), a.draw::<8>());
        assert_ne!(SeededEntropy::new(8).draw::<40>(), SeededEntropy::new(7).draw::<40>());
    }
}
