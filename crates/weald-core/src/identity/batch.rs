//! Signatures that are checked together.
//!
//! Many signatures are checked by one equation: the sum of theirs, each with a weight that nobody
//! can choose. What is checked so must be judged alike alone and in any company, or an honest
//! coordinator could be taken for one that let a forgery through. The usual equation is not: parts of
//! small order, which only the holder of the key can put in, cancel out in some batches and not in
//! others. So both sides are multiplied by the cofactor first (8 s B = 8 R + 8 h A, as in ZIP 215),
//! alone as in a batch. Keys of small order are refused, and s must be canonical, as ever.

use std::collections::{BTreeMap, BTreeSet};

use curve25519_dalek::{
    constants::ED25519_BASEPOINT_POINT,
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul},
};
use sha2::{Digest as _, Sha512};

use super::{PublicKey, Signature};
use crate::{Digest, DigestBuilder};

/// Claims in one equation, at most: more gain little, and this bounds its memory.
const BATCH_MAX: usize = 256;
/// Claims of a batch that failed that are checked together once more, before each is by itself.
const SUSPECTS_MAX: usize = 16;

/// Says that a key signed something. To be checked, alone or with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    key: PublicKey,
    digest: Digest,
    signature: Signature,
}

impl Claim {
    /// The claim that `signature` is `key`'s over `message` under `domain`.
    pub fn new(key: PublicKey, domain: &str, message: &[u8], signature: Signature) -> Self {
        Self { key, digest: Digest::of(domain, &[message]), signature }
    }

    /// Whether it is so. About 50 us of processor time.
    pub fn holds(&self) -> bool {
        let holds = || {
            let (key, r, s) = (point_of(&self.key)?, self.r()?, self.s()?);
            let sum = EdwardsPoint::vartime_double_scalar_mul_basepoint(&-self.h(), &key, &s);
            Some((sum - r).mul_by_cofactor().is_identity())
        };
        holds().unwrap_or(false)
    }

    fn r(&self) -> Option<EdwardsPoint> {
        CompressedEdwardsY(self.signature.r).decompress()
    }

    fn s(&self) -> Option<Scalar> {
        Scalar::from_canonical_bytes(self.signature.s).into()
    }

    fn h(&self) -> Scalar {
        let hash = Sha512::new()
            .chain_update(self.signature.r)
            .chain_update(self.key.as_bytes())
            .chain_update(self.digest.as_bytes());
        Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
    }
}

/// Checks many claims in a fraction of the time that each would take alone, less where keys repeat.
/// Each is judged as [`Claim::holds`] judges it.
///
/// # Errors
/// The places of those that do not hold. To find them takes up to twice the time that all would
/// take alone.
pub fn verify_all(claims: &[Claim]) -> Result<(), BTreeSet<usize>> {
    let batches = claims.chunks(BATCH_MAX).zip((0..).step_by(BATCH_MAX));
    let failed = batches.filter(|(batch, _)| !hold(batch));
    let forged: BTreeSet<usize> = failed.flat_map(|(batch, first)| forged(batch, first)).collect();
    if forged.is_empty() { Ok(()) } else { Err(forged) }
}

/// The places of those claims of a batch that do not hold; `first` is that of its first.
fn forged(batch: &[Claim], first: usize) -> impl Iterator<Item = usize> {
    let groups = batch.chunks(SUSPECTS_MAX).zip((first..).step_by(SUSPECTS_MAX));
    let suspects =
        groups.filter(|(group, _)| !hold(group)).flat_map(|(group, at)| group.iter().zip(at..));
    suspects.filter(|(claim, _)| !claim.holds()).map(|(_, place)| place)
}

/// Whether all claims hold.
fn hold(claims: &[Claim]) -> bool {
    match claims {
        [claim] => claim.holds(),
        _ => weighed(claims).is_some_and(|sum| sum.mul_by_cofactor().is_identity()),
    }
}

/// The weighed sum of R + h A - s B over all claims; `None` when one of them is malformed. Keys that
/// repeat are one term.
fn weighed(claims: &[Claim]) -> Option<EdwardsPoint> {
    let seed = seed(claims);
    let mut keys: BTreeMap<PublicKey, Scalar> = BTreeMap::new();
    let mut base = Scalar::ZERO;
    let mut scalars = Vec::with_capacity(2 * claims.len() + 1);
    let mut points = Vec::with_capacity(2 * claims.len() + 1);
    for (claim, nth) in claims.iter().zip(0..) {
        let weight = weight(&seed, nth);
        base -= weight * claim.s()?;
        *keys.entry(claim.key).or_default() += weight * claim.h();
        scalars.push(weight);
        points.push(claim.r()?);
    }
    for (key, scalar) in keys {
        scalars.push(scalar);
        points.push(point_of(&key)?);
    }
    scalars.push(base);
    points.push(ED25519_BASEPOINT_POINT);
    Some(EdwardsPoint::vartime_multiscalar_mul(scalars, points))
}

/// A digest of everything that is claimed: who signs cannot choose the weights that follow from it.
fn seed(claims: &[Claim]) -> Digest {
    let mut seed = DigestBuilder::new("weald batch");
    for Claim { key, digest, signature } in claims {
        seed.part(key.as_bytes()).part(digest.as_bytes()).part(&signature.r).part(&signature.s);
    }
    seed.finish()
}

/// 128 bits for the nth claim.
fn weight(seed: &Digest, nth: u64) -> Scalar {
    let drawn = Digest::of("weald batch weight", &[seed.as_bytes(), &nth.to_le_bytes()]);
    Scalar::from(u128::from_le_bytes(drawn.prefix()))
}

/// The point that a key is, if it is one and not of small order.
fn point_of(key: &PublicKey) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(*key.as_bytes()).decompress()?;
    (!point.is_small_order()).then_some(point)
}

#[cfg(test)]
mod tests;
