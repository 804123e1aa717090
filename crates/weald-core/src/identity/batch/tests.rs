//! Claims that hold, that do not, and crooked ones that must be judged alike in any company.

use curve25519_dalek::constants::EIGHT_TORSION;
use proptest::prelude::*;

use super::{super::*, *};
use crate::SeededEntropy;

const DOMAIN: &str = "test";

fn identity(seed: u64) -> Identity {
    Identity::generate(&mut SeededEntropy::new(seed))
}

/// The claim that one of a few keys signed the number `nth`, which it did.
fn claim(nth: u64) -> Claim {
    let keys = identity(nth % 3);
    let message = nth.to_le_bytes();
    Claim::new(keys.public(), DOMAIN, &message, keys.sign(DOMAIN, &message).unwrap())
}

fn claims(count: u64) -> Vec<Claim> {
    (0..count).map(claim).collect()
}

/// Another signature in the place of the one that is claimed.
fn forge(claim: &mut Claim) {
    claim.signature.s[7] ^= 1;
}

/// A signature by whoever holds the key, with parts of small order in the key or in R.
fn crooked(nth: usize, in_key: bool) -> Claim {
    let keys = identity(7);
    let (secret, once) = (keys.0.to_scalar(), weight(&Digest::ZERO, 5));
    let torsion = EIGHT_TORSION[nth];
    let (mut key, mut r) = (secret * ED25519_BASEPOINT_POINT, once * ED25519_BASEPOINT_POINT);
    if in_key {
        key += torsion
    } else {
        r += torsion
    }
    let key = PublicKey::from_bytes(key.compress().to_bytes());
    let signature = Signature { r: r.compress().to_bytes(), s: [0; 32] };
    let mut claim = Claim::new(key, DOMAIN, b"crooked", signature);
    claim.signature.s = (once + claim.h() * secret).to_bytes();
    claim
}

#[test]
fn ps1671_any_number_of_signatures_is_verified_together() {
    for count in [0, 1, 2, 16, 17, 256, 257, 520] {
        assert_eq!(verify_all(&claims(count)), Ok(()), "{count}");
    }
}

#[test]
fn ps1671_a_batch_names_exactly_the_forged_signatures() {
    for forged in [vec![0], vec![15, 16], vec![255, 256], (0..300).collect::<Vec<_>>()] {
        let mut claims = claims(300);
        forged.iter().for_each(|place| forge(&mut claims[*place]));
        assert_eq!(verify_all(&claims), Err(forged.iter().copied().collect()));
    }
}

#[test]
fn a_claim_holds_for_its_key_domain_and_message_only() {
    let (keys, message) = (identity(1), b"message");
    let signature = keys.sign(DOMAIN, message).unwrap();
    let claim = Claim::new(keys.public(), DOMAIN, message, signature);
    assert!(claim.holds());
    let others = [
        Claim::new(identity(2).public(), DOMAIN, message, signature),
        Claim::new(keys.public(), "another", message, signature),
        Claim::new(keys.public(), DOMAIN, b"massage", signature),
    ];
    for other in others {
        assert!(!other.holds());
        assert_eq!(verify_all(&[claim, other]), Err([1].into()));
    }
}

#[test]
fn a_claim_with_any_bit_changed_does_not_hold() {
    let good = claim(1);
    for at in 0..64 {
        let mut changed = good;
        let signature = &mut changed.signature;
        let byte = if at < 32 { &mut signature.r[at] } else { &mut signature.s[at - 32] };
        *byte ^= 1;
        assert!(!changed.holds(), "byte {at}");
        assert_eq!(verify_all(&[good, changed, good]), Err([1].into()), "byte {at}");
    }
}

#[test]
fn a_crooked_signature_is_judged_alike_alone_and_in_any_company() {
    for (nth, in_key) in (1..8).flat_map(|nth| [(nth, true), (nth, false)]) {
        let crooked = crooked(nth, in_key);
        let by_the_usual_rule = crooked.key.verify(DOMAIN, b"crooked", &crooked.signature);
        assert!(in_key || !by_the_usual_rule);
        let alone = crooked.holds();
        assert!(alone);
        for others in 1..12 {
            let all = [claims(others), vec![crooked]].concat();
            assert_eq!(verify_all(&all).is_ok(), alone, "{nth} {in_key} with {others}");
        }
    }
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    let (s, message) = (Scalar::from(5u8), b"anything");
    let r = (s * ED25519_BASEPOINT_POINT).compress().to_bytes();
    for torsion in EIGHT_TORSION {
        let key = PublicKey::from_bytes(torsion.compress().to_bytes());
        let claim = Claim::new(key, DOMAIN, message, Signature { r, s: s.to_bytes() });
        assert!(!claim.holds());
        assert_eq!(verify_all(&[claim, claim]), Err([0, 1].into()));
    }
}

#[test]
fn what_is_no_point_and_no_canonical_number_does_not_hold() {
    let good = claim(1);
    let (mut high, mut no_point, mut no_key) = (good, good, good);
    // The order of the group, added to s: the same number, not in its canonical form.
    let order = -Scalar::ONE;
    let mut carry = 1;
    for (digit, more) in high.signature.s.iter_mut().zip(order.to_bytes()) {
        let sum = u16::from(*digit) + u16::from(more) + carry;
        [*digit, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    no_point.signature.r = [2; 32];
    no_key.key = PublicKey::from_bytes([2; 32]);
    assert!(no_point.r().is_none() && point_of(&no_key.key).is_none() && high.s().is_none());
    for bad in [high, no_point, no_key] {
        assert!(!bad.holds());
        assert_eq!(verify_all(&[good, bad]), Err([1].into()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_batch_judges_each_as_it_is_judged_alone(
        count in 0u64..60,
        bad in proptest::collection::btree_set(0usize..60, 0..8),
    ) {
        let mut claims = claims(count);
        for place in bad {
            claims.get_mut(place).into_iter().for_each(forge);
        }
        let alone: BTreeSet<_> =
            claims.iter().zip(0..).filter(|(claim, _)| !claim.holds()).map(|(_, at)| at).collect();
        prop_assert_eq!(verify_all(&claims).err().unwrap_or_default(), alone);
    }
}
