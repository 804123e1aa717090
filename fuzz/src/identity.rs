//! Exported identities: a file that a person hands in.

use weald_core::SeededEntropy;
use weald_core::identity::{Identity, KeyError, KeyStore};

/// Opens `data` without a passphrase, and seldom with one: deriving a key from it is slow on purpose.
pub fn run(data: &[u8]) {
    match Identity::open(data, None) {
        Ok(identity) => {
            let sealed = identity.seal(None, &mut SeededEntropy::new(1));
            let again = Identity::open(&sealed, None).expect("our own bytes open");
            assert_eq!(again.public(), identity.public());
        }
        Err(KeyError::PassphraseNeeded) if data.len().is_multiple_of(16) => {
            assert!(
                Identity::open(data, Some("guess")).is_err(),
                "a guessed passphrase opened a sealed identity"
            );
        }
        Err(_) => {}
    }
}
