//! What the owner of a topic asks: its end, its new beginning, imports.

use bytes::Bytes;
use weald_collections::Stop;
use weald_core::{PeerId, identity::verify_all};

use super::{UnionAnswer, books::OpenTopic, invalid, publish::Batch, refused};
use crate::{
    ChannelState, Lease, Message, Signed, Standing, TopicRefusal,
    limits::{BATCH_MAX, PRUNE_MAX},
    signed::{AdminAction, AdminRequest, Union},
};

impl OpenTopic<'_, '_, '_> {
    /// Does what the owner, or the network's administrator, asks.
    pub(crate) fn administer(&mut self, signed: Signed<AdminRequest>) -> Result<Bytes, Stop> {
        let peer = signed.verify(&self.address, self.now()).map_err(refused)?;
        let AdminRequest { generation, action, .. } = signed.request;
        if generation != self.head.generation {
            let generation = self.head.generation;
            return Err(refused(TopicRefusal::Generation { generation }));
        }
        let is_open = matches!(action, AdminAction::Revive) && self.policy.owner.is_none();
        if !is_open && !self.is_administrator(peer) {
            return Err(refused(TopicRefusal::Denied));
        }
        match action {
            AdminAction::Delete => {
                self.head.state = ChannelState::Deleted;
                Ok(self.clear(PRUNE_MAX)?.encode())
            }
            AdminAction::Revive => self.revive(),
            AdminAction::Union(union) => Ok(self.union(union)?.encode()),
        }
    }

    fn is_administrator(&self, peer: PeerId) -> bool {
        let keys = [self.policy.owner, self.administrator];
        keys.into_iter().flatten().any(|key| key.peer_id() == peer)
    }

    /// Begins anew a topic that has ended. Positions and versions go on, so that no cursor and no
    /// watcher sees them go back.
    fn revive(&mut self) -> Result<Bytes, Stop> {
        if self.head.state != ChannelState::Deleted {
            return Err(refused(TopicRefusal::Invalid("the topic has not ended".into())));
        }
        if !self.is_cleared()? {
            return Err(refused(TopicRefusal::NotActive));
        }
        let now = self.now();
        self.head.state = ChannelState::Active;
        self.head.generation += 1;
        self.head.modified_at = now;
        self.head.expires_at = now.after(self.policy.inactivity);
        Ok(Bytes::new())
    }

    /// Takes in what another head of the topic has and this one does not.
    fn union(&mut self, union: Union) -> Result<UnionAnswer, Stop> {
        self.check_active()?;
        let Union { mut messages, leases } = union;
        if messages.len() + leases.len() > BATCH_MAX {
            return Err(invalid("a union of more than a batch"));
        }
        messages.sort_by_key(Message::source);
        let mut batch = Batch::default();
        let mut published = Vec::new();
        let claims: Vec<_> = messages.iter().map(|message| message.claim(&self.address)).collect();
        if verify_all(&claims).is_err() {
            return Err(refused(TopicRefusal::BadSignature));
        }
        for message in &messages {
            if self.is_wanted(&batch, message)? {
                published.push(self.take_imported(&mut batch, message)?);
            }
        }
        self.write(batch)?;
        let mut taken = 0;
        for lease in leases {
            taken += u64::from(self.take_lease(lease)?);
        }
        Ok(UnionAnswer { published, leases: taken })
    }

    /// Whether a message has not expired and is not here.
    fn is_wanted(&mut self, batch: &Batch, message: &Message) -> Result<bool, Stop> {
        if message.expires_at <= self.now() {
            return Ok(false);
        }
        let (id, source) = (message.id(&self.address), message.source());
        let made = batch.edits.iter().filter_map(|(_, entry)| *entry);
        let is_here = made.chain(self.retained(&source)?).any(|entry| entry.id == id);
        Ok(!is_here && self.second(&source, &id)?.is_none())
    }

    /// Takes a lease in if it is newer than what is here and there is room for it, which is the same as for
    /// one that is asked for: the topic is kept by the same bounds afterwards.
    fn take_lease(&mut self, lease: Lease) -> Result<bool, Stop> {
        let subscribers = self.books.subscribers;
        let found = subscribers.get(&mut self.pages(), &lease.id)?;
        let is_newer = found.is_none_or(|found| found.nonce < lease.nonce);
        let to = self.now().after(self.policy.lease_max);
        if !is_newer || lease.expires_at <= self.now() || lease.expires_at > to {
            return Ok(false);
        }
        if self.full(lease.id.peer, found, lease.standing)?.is_some() {
            return Ok(false);
        }
        let was_live = found.is_some_and(|found| found.standing == Standing::Live);
        // An end never comes earlier, so that the nonce is remembered as long as it must be.
        let expires_at = found.map_or(lease.expires_at, |f| f.expires_at.max(lease.expires_at));
        self.put_lease(Lease { expires_at, ..lease }, was_live)?;
        Ok(true)
    }
}
