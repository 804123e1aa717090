//! Requests that carry their own proof of who made them: they pass through third parties.

use serde::{Deserialize, Serialize};
use weald_core::{
    PeerId, Time, codec,
    identity::{KeyError, KeyStore, PublicKey, Signature},
};

use crate::{Lease, Message, TopicAddress, TopicPosition, TopicRefusal, kind, limits::FRESHNESS};

/// A request with the key and the signature of whoever made it. The signature covers the topic and
/// the network, too.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signed<R> {
    /// The request.
    pub request: R,
    /// Whose request it is.
    pub key: PublicKey,
    /// Its signature.
    pub signature: Signature,
}

/// What can be signed.
pub trait Signable: Serialize {
    /// What the signature is for, so that it serves for nothing else.
    const DOMAIN: &'static str;

    /// When it was signed, as the signer believes.
    fn signed_at(&self) -> Time;
}

impl<R: Signable> Signed<R> {
    /// Signs `request` for the topic at `address`.
    ///
    /// # Errors
    /// [`KeyError`] when the store cannot sign.
    pub fn new(address: &TopicAddress, request: R, keys: &dyn KeyStore) -> Result<Self, KeyError> {
        let bytes = codec::encode(kind::SIGNED, &(address, &request));
        let signature = keys.sign(R::DOMAIN, &bytes)?;
        Ok(Self { request, key: keys.public(), signature })
    }

    /// Who signed it, if the signature is right and not older or newer than [`FRESHNESS`].
    ///
    /// # Errors
    /// [`TopicRefusal::BadSignature`] or [`TopicRefusal::Stale`].
    pub fn verify(&self, address: &TopicAddress, now: Time) -> Result<PeerId, TopicRefusal> {
        let signed_at = self.request.signed_at();
        if now.since(signed_at).max(signed_at.since(now)) > FRESHNESS {
            return Err(TopicRefusal::Stale { signed_at, now });
        }
        let bytes = codec::encode(kind::SIGNED, &(address, &self.request));
        if !self.key.verify(R::DOMAIN, &bytes, &self.signature) {
            return Err(TopicRefusal::BadSignature);
        }
        Ok(self.key.peer_id())
    }
}

/// Begins, prolongs or ends a subscription. Times are absolute and each request has a higher nonce
/// than the one before, so that a copy prolongs nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// What is asked.
    pub action: LeaseAction,
    /// The subscriber's number for the subscription.
    pub stream: u64,
    /// Higher than in any request before for the same subscription.
    pub nonce: u64,
    /// When it was signed.
    pub signed_at: Time,
    /// Until when the subscription shall last.
    pub expires_at: Time,
    /// The last position that the subscriber has seen.
    pub last_seen: TopicPosition,
}

/// What a [`LeaseRequest`] asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LeaseAction {
    /// Begin, or begin anew.
    Subscribe,
    /// Go on.
    Renew,
    /// End.
    Unsubscribe,
}

impl Signable for LeaseRequest {
    const DOMAIN: &'static str = "weald lease";

    fn signed_at(&self) -> Time {
        self.signed_at
    }
}

/// What a consumer asks of its group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupRequest {
    /// The group.
    pub group: String,
    /// Higher than in any request before of the same consumer.
    pub nonce: u64,
    /// When it was signed.
    pub signed_at: Time,
    /// What is asked.
    pub action: GroupAction,
}

/// What a [`GroupRequest`] asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum GroupAction {
    /// Gives messages to the consumer.
    Fetch {
        /// How many, at most.
        max: usize,
        /// Until when the consumer will have acknowledged them; then they go to others.
        deadline: Time,
        /// Where a new group begins.
        start: TopicPosition,
    },
    /// The consumer has done these.
    Acknowledge(Vec<TopicPosition>),
    /// The consumer cannot do these; others may at once.
    Return(Vec<TopicPosition>),
    /// Takes dead letters off the group's list.
    Bury(Vec<TopicPosition>),
}

impl Signable for GroupRequest {
    const DOMAIN: &'static str = "weald group";

    fn signed_at(&self) -> Time {
        self.signed_at
    }
}

/// What the owner of a topic, or the network's administrator, asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AdminRequest {
    /// When it was signed.
    pub signed_at: Time,
    /// The topic's generation, so that a copy does not touch a later one.
    pub generation: u64,
    /// What is asked.
    pub action: AdminAction,
}

/// What an [`AdminRequest`] asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AdminAction {
    /// Ends the topic.
    Delete,
    /// Begins a topic that has ended anew, under its policy; positions go on. Anyone may where the
    /// topic has no owner.
    Revive,
    /// Takes in messages and subscriptions of another head of the topic.
    Union(Union),
}

/// What another head of a topic has and this one does not. Idempotent: what is there already, or
/// has expired, is passed over.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Union {
    /// Messages with their original ids and signatures.
    pub messages: Vec<Message>,
    /// Subscriptions; of two of one id the one with the higher nonce counts.
    pub leases: Vec<Lease>,
}

impl Signable for AdminRequest {
    const DOMAIN: &'static str = "weald topic administration";

    fn signed_at(&self) -> Time {
        self.signed_at
    }
}

/// Allows its holder to create one topic, where the network asks for that. Signed by the network's
/// administrator over the topic's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreationToken {
    /// When it was signed.
    pub signed_at: Time,
    /// Until when it serves.
    pub expires_at: Time,
}

impl Signable for CreationToken {
    const DOMAIN: &'static str = "weald topic creation";

    fn signed_at(&self) -> Time {
        self.signed_at
    }
}

impl Signed<CreationToken> {
    /// Whether `authority` allows the topic at `address` to be created at `now`.
    pub fn allows(&self, authority: &PublicKey, address: &TopicAddress, now: Time) -> bool {
        let bytes = codec::encode(kind::SIGNED, &(address, &self.request));
        let is_signed = self.key.verify(CreationToken::DOMAIN, &bytes, &self.signature);
        self.key == *authority && now < self.request.expires_at && is_signed
    }
}
