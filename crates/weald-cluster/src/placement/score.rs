//! Weighted rendezvous hashing in integers, so that every machine comes to the same order.
//!
//! Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
//! 1998) gives each pair of node and partition a hash and takes the best nodes. The weighted form
//! (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005) takes the hash as a
//! uniform `u` in (0, 1) and compares `-log(u) / weight`: an exponential clock that runs `weight`
//! times as fast, so a node wins in proportion to its weight, and a change of one node's weight
//! moves no partition between two other nodes.

use weald_core::{Digest, PartitionId, PeerId};

use super::nodes::Weight;

/// Bits after the point of a logarithm.
const FRACTION_BITS: u32 = 48;

/// What a node costs a partition; the cheapest nodes hold it. Fixed point, 112 bits after the point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Cost(u128);

impl Cost {
    /// The cost of `peer` for `partition`. A larger weight makes it cheaper.
    pub(super) fn of(peer: &PeerId, weight: Weight, partition: PartitionId) -> Self {
        let parts: [&[u8]; 2] = [peer.digest().as_bytes(), &partition.0.to_le_bytes()];
        let hash = u64::from_be_bytes(Digest::of("weald placement score", &parts).prefix());
        Self((u128::from(negative_log2(hash)) << 64) / u128::from(weight.as_u16()))
    }
}

/// `-log2(hash / 2^64)` with [`FRACTION_BITS`] after the point, in (0, 64]. An even hash counts as
/// the odd one above it, so that zero has a logarithm.
///
/// Bit by bit: the square of a mantissa in [1, 2) is at least 2 exactly if the next bit of its
/// logarithm is 1.
fn negative_log2(hash: u64) -> u64 {
    let odd = hash | 1;
    let zeros = odd.leading_zeros();
    let mut mantissa = odd << zeros;
    let mut logarithm = u64::from(63 - zeros);
    for _ in 0..FRACTION_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let bit = square >> 127;
        logarithm = (logarithm << 1) | u64::from(bit == 1);
        let normalized = if bit == 1 { square >> 64 } else { square >> 63 };
        mantissa = u64::try_from(normalized).expect("a normalized mantissa has 64 bits");
    }
    (64 << FRACTION_BITS) - logarithm
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One in the fixed point of a logarithm.
    const ONE: u64 = 1 << FRACTION_BITS;

    #[test]
    fn logarithms_of_powers_are_exact() {
        assert_eq!(negative_log2(0), 64 * ONE, "the hash 0 counts as 1");
        assert_eq!(negative_log2(1), 64 * ONE);
        let check = |power: u32, expect: u64| {
            let (got, expect) = (negative_log2(1 << power), expect * ONE);
            assert!(expect - got < 1 << 20, "2^{power}: {got} {expect}");
        };
        check(63, 1);
        check(62, 2);
        check(40, 24);
        assert!(negative_log2(u64::MAX) >= 1, "no cost is zero");
    }

    #[test]
    fn logarithms_agree_with_known_digits() {
        // log2(3) = 1.584962500721156..., times 2^48 and rounded down.
        let three_quarters = 3 << 62;
        let expect = 2 * ONE - 446_127_282_977_750;
        assert!(negative_log2(three_quarters).abs_diff(expect) < 1 << 12);
    }

    #[test]
    fn logarithms_fall_as_the_hash_rises() {
        let hashes = (0..2000_u64).map(|i| i * (u64::MAX / 2000));
        let logarithms: Vec<_> = hashes.map(negative_log2).collect();
        assert!(logarithms.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
