//! An invitation: a node of the network vouches for somebody who does not come from near by.

use serde::{Deserialize, Serialize};
use weald_core::{
    NodeStanding, PeerId, SystemState, Time, codec,
    identity::{KeyError, KeyStore, PublicKey, Signature},
};

use super::NetworkId;
use crate::kinds;

/// What signatures of invitations are made for.
const DOMAIN: &str = "weald invitation";

/// A signed permission to join. Whoever has it may come until it expires; one that names its
/// invitee serves nobody else.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Invitation {
    terms: Terms,
    inviter: PublicKey,
    signature: Signature,
}

/// What an invitation says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// To which network.
    pub network: NetworkId,
    /// Who is invited; whoever brings it if nobody is named.
    pub invitee: Option<PeerId>,
    /// Until when, by the clock of whoever is asked.
    pub expires: Time,
    /// Random bytes, so that invitations differ.
    pub nonce: [u8; 16],
}

impl Invitation {
    /// Invites on these terms.
    ///
    /// # Errors
    /// When the store cannot sign.
    pub fn sign(terms: Terms, keys: &dyn KeyStore) -> Result<Self, KeyError> {
        let signature = keys.sign(DOMAIN, &codec::encode(kinds::INVITATION, &terms))?;
        Ok(Self { terms, inviter: keys.public(), signature })
    }

    /// What it says.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether it lets `peer` into `network` at `now`: a node that takes part has signed it.
    pub fn admits(
        &self,
        network: NetworkId,
        system: &SystemState,
        peer: PeerId,
        now: Time,
    ) -> bool {
        let inviter = system.nodes.get(&self.inviter.peer_id());
        let is_node = inviter.is_some_and(|node| node.standing != NodeStanding::Gone);
        let is_meant = self.terms.invitee.is_none_or(|invitee| invitee == peer);
        let is_current = self.terms.network == network && now < self.terms.expires;
        let signed = codec::encode(kinds::INVITATION, &self.terms);
        is_node && is_meant && is_current && self.inviter.verify(DOMAIN, &signed, &self.signature)
    }
}
