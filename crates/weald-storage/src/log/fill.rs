//! The fill pattern: what a segment holds where nothing was written yet.
//!
//! Each 8-byte word is derived from the store's id, the segment's number, a secret salt drawn for
//! this use of the segment, and the word's place. A payload cannot hold it, not even one chosen by
//! someone who has seen other files of this store, and a recycled file never holds the pattern of
//! its next use by accident. So a sector that still shows the pattern was never written (rule C11).

use weald_core::{DigestBuilder, StoreId};

/// The unit that disks write all or nothing of: 512 bytes. Larger physical sectors are multiples.
pub(crate) const UNIT: usize = 512;

const WORD: usize = 8;

/// The fill pattern of one use of a segment. Doubles as the source of the batch cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FillPattern {
    start: u64,
    mask: u64,
    cookie: u64,
}

impl FillPattern {
    pub(crate) fn new(store: StoreId, segment: u64, salt: &[u8; 16]) -> Self {
        let mut builder = DigestBuilder::new("weald log fill");
        builder.part(&store.0).number(segment).part(salt);
        let bytes = builder.finish().prefix::<24>();
        let word = |at: usize| {
            let word = bytes[at..].first_chunk().expect("24 bytes hold three words");
            u64::from_le_bytes(*word)
        };
        Self { start: word(0), mask: word(8), cookie: word(16) }
    }

    /// The mark of a batch that begins at `offset`; unknown to whoever writes payloads.
    pub(crate) fn cookie(&self, offset: u64) -> u64 {
        mix(self.cookie ^ mix(offset))
    }

    /// Writes the pattern of the bytes from `offset` on; both are multiples of 8.
    pub(crate) fn fill(&self, offset: u64, bytes: &mut [u8]) {
        for (word, chunk) in self.words(offset).zip(bytes.chunks_exact_mut(WORD)) {
            chunk.copy_from_slice(&word);
        }
    }

    /// Whether `bytes` are exactly the pattern.
    pub(crate) fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        self.words(offset).zip(bytes.chunks_exact(WORD)).all(|(word, chunk)| word == chunk)
    }

    /// Whether one unit was never written: at least half of its words are the pattern. The rest may
    /// have rotted; written bytes cannot match a single word but by a chance of 2^-64.
    pub(crate) fn is_unwritten(&self, offset: u64, unit: &[u8]) -> bool {
        let same =
            self.words(offset).zip(unit.chunks_exact(WORD)).filter(|(word, chunk)| word == chunk);
        same.count() * 2 >= unit.len() / WORD
    }

    fn words(&self, offset: u64) -> impl Iterator<Item = [u8; WORD]> {
        let Self { start, mask, .. } = *self;
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut at = start.wrapping_add((offset / WORD as u64).wrapping_mul(step));
        std::iter::from_fn(move || {
            at = at.wrapping_add(step);
            Some((mix(at) ^ mask).to_le_bytes())
        })
    }
}

/// The finalizer of SplitMix64: every bit of the input moves about half of the output's bits.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(segment: u64, salt: u8) -> FillPattern {
        FillPattern::new(StoreId([3; 16]), segment, &[salt; 16])
    }

    #[test]
    fn the_pattern_depends_on_place_and_use() {
        let (mut a, mut b) = ([0; 4096], [0; 4096]);
        pattern(1, 1).fill(4096, &mut a);
        assert!(pattern(1, 1).matches(4096, &a));
        for (other, offset) in [(pattern(1, 1), 8192), (pattern(2, 1), 4096), (pattern(1, 2), 4096)]
        {
            other.fill(offset, &mut b);
            assert!(!pattern(1, 1).is_unwritten(4096, &b[..UNIT]));
            assert!(!other.matches(offset, &a));
        }
    }

    #[test]
    fn a_long_fill_is_the_sum_of_its_parts() {
        let (mut whole, mut parts) = ([0; 8192], [0; 8192]);
        pattern(1, 1).fill(0, &mut whole);
        pattern(1, 1).fill(0, &mut parts[..4096]);
        pattern(1, 1).fill(4096, &mut parts[4096..]);
        assert_eq!(whole, parts);
    }

    #[test]
    fn a_rotted_unit_is_still_unwritten_but_a_written_one_is_not() {
        let mut unit = [0; UNIT];
        pattern(1, 1).fill(512, &mut unit);
        unit[5] ^= 1;
        assert!(!pattern(1, 1).matches(512, &unit));
        assert!(pattern(1, 1).is_unwritten(512, &unit));
        assert!(!pattern(1, 1).is_unwritten(512, &[0; UNIT]));
    }
}
