//! The exported form of an identity.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::Aead};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::KeyError;
use crate::Entropy;

/// Memory of Argon2id, KiB (the second recommendation of OWASP's password storage sheet).
const ARGON_MEMORY_KIB: u32 = 19 * 1024;
/// Passes of Argon2id.
const ARGON_PASSES: u32 = 2;

/// A secret key as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) enum Sealed {
    Open([u8; 32]),
    Passphrase { salt: [u8; 16], nonce: [u8; 24], ciphertext: Vec<u8> },
}

impl Sealed {
    pub(super) fn new(
        secret: &[u8; 32],
        passphrase: Option<&str>,
        entropy: &mut impl Entropy,
    ) -> Self {
        let Some(passphrase) = passphrase else { return Self::Open(*secret) };
        let (salt, nonce) = (entropy.draw::<16>(), entropy.draw::<24>());
        let ciphertext = cipher(passphrase, &salt)
            .encrypt(&XNonce::from(nonce), secret.as_slice())
            .expect("32 bytes are not too long for the cipher");
        Self::Passphrase { salt, nonce, ciphertext }
    }

    pub(super) fn open(&self, passphrase: Option<&str>) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let (salt, nonce, ciphertext) = match self {
            Self::Open(secret) => return Ok(Zeroizing::new(*secret)),
            Self::Passphrase { salt, nonce, ciphertext } => (salt, nonce, ciphertext),
        };
        let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
        let secret = cipher(passphrase, salt)
            .decrypt(&XNonce::from(*nonce), ciphertext.as_slice())
            .map_err(|_| KeyError::WrongPassphrase)?;
        let secret = Zeroizing::new(secret);
        let secret = secret.as_slice().try_into().map_err(|_| KeyError::WrongPassphrase)?;
        Ok(Zeroizing::new(secret))
    }
}

fn cipher(passphrase: &str, salt: &[u8; 16]) -> XChaCha20Poly1305 {
    let params = Params::new(ARGON_MEMORY_KIB, ARGON_PASSES, 1, Some(32))
        .expect("the parameters are within Argon2's bounds");
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut())
        .expect("the salt and the key have allowed lengths");
    XChaCha20Poly1305::new(key.as_slice().into())
}
