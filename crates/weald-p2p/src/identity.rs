//! Identities on both sides of the wall: a key of the core is a key of libp2p.
//!
//! libp2p signs its handshakes itself and wants the secret for that. A [`KeyStore`] that does not
//! let its key out (a token, a platform's key chain) can sign what Weald signs, but cannot be a
//! node's network identity.

use libp2p::identity::{Keypair, PublicKey as PeerKey};
use weald_core::PeerId;
use weald_core::identity::{KeyError, KeyStore, PublicKey};

/// The code of a multihash that holds the bytes themselves: peer ids of Ed25519 keys do.
const IDENTITY_HASH: u64 = 0;

/// The key pair of `keys`, for handshakes.
///
/// # Errors
/// When the store does not let the key out.
pub(crate) fn keypair(keys: &dyn KeyStore) -> Result<Keypair, KeyError> {
    let mut secret = keys.export()?.secret();
    Keypair::ed25519_from_bytes(&mut secret[..])
        .map_err(|error| KeyError::Malformed(error.to_string()))
}

/// The peer behind an id of libp2p; `None` when its key is not Ed25519.
pub(crate) fn peer_id(id: &libp2p::PeerId) -> Option<PeerId> {
    public_key(id).map(|key| key.peer_id())
}

/// The key behind an id of libp2p, which holds it; `None` when it is not Ed25519.
pub(crate) fn public_key(id: &libp2p::PeerId) -> Option<PublicKey> {
    let hash = id.as_ref();
    if hash.code() != IDENTITY_HASH {
        return None;
    }
    let key = PeerKey::try_decode_protobuf(hash.digest()).ok()?.try_into_ed25519().ok()?;
    Some(PublicKey::from_bytes(key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use weald_core::SeededEntropy;
    use weald_core::identity::{Identity, Signature};

    use super::*;

    #[test]
    fn ps1180_ps1788_a_key_is_the_same_peer_on_both_sides() {
        let identity = Identity::generate(&mut SeededEntropy::new(1));
        let keypair = keypair(&identity).unwrap();
        let id = keypair.public().to_peer_id();
        assert_eq!(public_key(&id), Some(identity.public()));
        assert_eq!(peer_id(&id), Some(identity.public().peer_id()));
    }

    #[test]
    fn a_key_that_stays_in_its_store_is_no_network_identity() {
        struct Token(PublicKey);
        impl KeyStore for Token {
            fn public(&self) -> PublicKey {
                self.0
            }
            fn sign(&self, _: &str, _: &[u8]) -> Result<Signature, KeyError> {
                Err(KeyError::Unavailable("not plugged in".to_owned()))
            }
        }
        let token = Token(PublicKey::from_bytes([1; 32]));
        assert_eq!(keypair(&token).unwrap_err(), KeyError::NotExportable);
    }
}
