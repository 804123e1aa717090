//! Signing, sealing and what is refused.

use proptest::prelude::*;

use super::*;
use crate::SeededEntropy;

fn identity(seed: u64) -> Identity {
    Identity::generate(&mut SeededEntropy::new(seed))
}

#[test]
fn ps1204_ps1221_ps1785_a_signature_verifies_for_its_key_domain_and_message_only() {
    let (alice, bob) = (identity(1), identity(2));
    let signature = alice.sign("greeting", b"hello").unwrap();
    assert!(alice.public().verify("greeting", b"hello", &signature));
    assert!(!alice.public().verify("greeting", b"hullo", &signature));
    assert!(!alice.public().verify("farewell", b"hello", &signature));
    assert!(!bob.public().verify("greeting", b"hello", &signature));
}

#[test]
fn ps1204_any_changed_bit_of_a_signature_is_refused() {
    let alice = identity(1);
    let signature = alice.sign("d", b"m").unwrap();
    for at in 0..64 {
        let mut changed = signature;
        let byte = if at < 32 { &mut changed.r[at] } else { &mut changed.s[at - 32] };
        *byte ^= 1;
        assert!(!alice.public().verify("d", b"m", &changed), "byte {at}");
    }
}

#[test]
fn a_key_that_is_no_point_verifies_nothing() {
    let signature = identity(1).sign("d", b"m").unwrap();
    for bytes in [[0; 32], [0xff; 32], [1; 32]] {
        assert!(!PublicKey::from_bytes(bytes).verify("d", b"m", &signature));
    }
}

#[test]
fn ps1252_export_and_import_give_the_same_peer() {
    let alice = identity(1);
    for passphrase in [None, Some("correct horse")] {
        let sealed = alice.seal(passphrase, &mut SeededEntropy::new(9));
        let opened = Identity::open(&sealed, passphrase).unwrap();
        assert_eq!(opened.public(), alice.public());
        assert_eq!(opened.public().peer_id(), alice.public().peer_id());
    }
}

#[test]
fn ps1251_a_sealed_identity_shows_no_secret_and_wants_its_passphrase() {
    let alice = identity(1);
    let sealed = alice.seal(Some("correct horse"), &mut SeededEntropy::new(9));
    let secret = alice.0.as_bytes();
    assert!(!sealed.windows(secret.len()).any(|window| window == secret));
    assert_eq!(Identity::open(&sealed, None).unwrap_err(), KeyError::PassphraseNeeded);
    assert_eq!(Identity::open(&sealed, Some("wrong")).unwrap_err(), KeyError::WrongPassphrase);
}

#[test]
fn ps1271_ps1272_ps1273_a_hardware_key_signs_and_is_never_exported() {
    struct Token(Identity);
    impl KeyStore for Token {
        fn public(&self) -> PublicKey {
            self.0.public()
        }
        fn sign(&self, domain: &str, message: &[u8]) -> Result<Signature, KeyError> {
            self.0.sign(domain, message)
        }
    }
    let token = Token(identity(3));
    let signature = token.sign("d", b"m").unwrap();
    assert!(token.public().verify("d", b"m", &signature));
    assert_eq!(token.export().unwrap_err(), KeyError::NotExportable);
}

proptest! {
    #[test]
    fn any_bytes_open_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        let bytes = [&[codec::FORMAT_VERSION, codec::Kind::IDENTITY.0, 0], &bytes[..]].concat();
        let _ = Identity::open(&bytes, None);
    }
}
