//! Ed25519 identities of peers.
//!
//! A peer is its key: [`PeerId`] is the digest of the public key. Whoever signs holds a
//! [`KeyStore`]; an [`Identity`] is one whose key is in memory and can be exported, a hardware
//! token is one whose key cannot.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Digest, Entropy, PeerId, codec};

mod batch;
mod sealed;

pub use batch::{Claim, verify_all};
use sealed::Sealed;

/// An Ed25519 public key: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(#[serde(with = "crate::codec::raw")] [u8; 32]);

impl PublicKey {
    /// Wraps the 32 bytes of a key. Whether they are a point on the curve shows at
    /// [`PublicKey::verify`].
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The peer that this key is.
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_digest(Digest::of("weald peer", &[&self.0]))
    }

    /// Whether `signature` is this key's over `message` under `domain`. Strict: weak keys and
    /// malleable signatures are refused.
    pub fn verify(&self, domain: &str, message: &[u8], signature: &Signature) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        let signature = ed25519_dalek::Signature::from_components(signature.r, signature.s);
        key.verify_strict(Digest::of(domain, &[message]).as_bytes(), &signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An Ed25519 signature: the 32-byte parts R and s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Signature {
    #[serde(with = "crate::codec::raw")]
    r: [u8; 32],
    #[serde(with = "crate::codec::raw")]
    s: [u8; 32],
}

/// Why a key could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key never leaves its store.
    #[error("this key cannot be exported")]
    NotExportable,
    /// The store could not sign now.
    #[error("the key store cannot sign: {0}")]
    Unavailable(String),
    /// The passphrase is wrong, or the bytes were changed.
    #[error("the passphrase is wrong or the identity is damaged")]
    WrongPassphrase,
    /// The identity is sealed with a passphrase and none was given.
    #[error("the identity is protected; give its passphrase")]
    PassphraseNeeded,
    /// The bytes are not an exported identity.
    #[error("not an identity: {0}")]
    Malformed(String),
}

/// Signs for one identity. The key may be in memory, in a platform's key chain or in hardware.
pub trait KeyStore: Send + Sync {
    /// The public key.
    fn public(&self) -> PublicKey;

    /// Signs `message` under `domain`, which keeps a signature for one purpose from serving
    /// another.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] when the store cannot sign now.
    fn sign(&self, domain: &str, message: &[u8]) -> Result<Signature, KeyError>;

    /// The identity itself, where the store lets it out.
    ///
    /// # Errors
    /// [`KeyError::NotExportable`] by default.
    fn export(&self) -> Result<Identity, KeyError> {
        Err(KeyError::NotExportable)
    }
}

/// A key pair in memory; wiped when dropped.
#[derive(Clone)]
pub struct Identity(SigningKey);

impl Identity {
    /// Makes a new key pair from `entropy`.
    pub fn generate(entropy: &mut impl Entropy) -> Self {
        let secret = Zeroizing::new(entropy.draw::<32>());
        Self(SigningKey::from_bytes(&secret))
    }

    /// Encodes the key pair for a file or a backup, sealed if a passphrase is given (Argon2id,
    /// XChaCha20-Poly1305). Without one the bytes are the secret: keep the file private.
    pub fn seal(&self, passphrase: Option<&str>, entropy: &mut impl Entropy) -> Zeroizing<Vec<u8>> {
        let sealed = Sealed::new(self.0.as_bytes(), passphrase, entropy);
        Zeroizing::new(codec::encode(codec::Kind::IDENTITY, &sealed).to_vec())
    }

    /// Reads what [`Identity::seal`] made.
    ///
    /// # Errors
    /// When the bytes are no identity, or the passphrase is missing or wrong.
    pub fn open(bytes: &[u8], passphrase: Option<&str>) -> Result<Self, KeyError> {
        let sealed: Sealed = codec::decode(codec::Kind::IDENTITY, bytes)
            .map_err(|error| KeyError::Malformed(error.to_string()))?;
        let secret = sealed.open(passphrase)?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// The 32 secret bytes, for a library that signs by itself.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

impl KeyStore for Identity {
    fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, domain: &str, message: &[u8]) -> Result<Signature, KeyError> {
        let signature = self.0.sign(Digest::of(domain, &[message]).as_bytes());
        Ok(Signature { r: *signature.r_bytes(), s: *signature.s_bytes() })
    }

    fn export(&self) -> Result<Identity, KeyError> {
        Ok(self.clone())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public().peer_id())
    }
}

#[cfg(test)]
mod tests;
