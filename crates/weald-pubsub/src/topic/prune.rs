//! Removing what has expired or is too much, in bounded steps, by log time.

use std::ops::Bound;

use bytes::Bytes;
use weald_collections::{Stop, btree::Direction};

use super::{
    PruneAnswer,
    blocks::{records, tree_error},
    bodies::removable,
    books::OpenTopic,
    group::GroupState,
    publishers::{PEER_KEY_LEN, PeerRecord, RUN_KEY_LEN, RunRecord},
};
use crate::{
    ChannelState, Lease, MessageEntry, Standing, TopicPosition, TopicVersion,
    limits::{BATCH_MAX, GROUP_IDLE_MAX, PRUNE_MAX, PRUNE_STEP},
};

/// Messages that a publish removes by the way, at most.
const ROOM_MAX: usize = BATCH_MAX + PRUNE_STEP;

impl OpenTopic<'_, '_, '_> {
    /// Removes up to `limit` entries that have expired; of a topic that has ended, whatever is left.
    pub(crate) fn prune(&mut self, limit: usize) -> Result<PruneAnswer, Stop> {
        let limit = limit.clamp(1, PRUNE_MAX);
        if self.head.state == ChannelState::Active && self.head.expires_at <= self.now() {
            self.head.state = ChannelState::Deleted;
        }
        if self.head.state == ChannelState::Deleted {
            return self.clear(limit);
        }
        let mut removed = self.prune_messages(limit)?;
        removed += self.prune_leases(limit - removed)?;
        removed += self.prune_snapshots()?;
        removed += self.sweep_publishers()? + self.prune_groups()?;
        let now = self.now();
        let sides = [self.books.messages.summary(), self.books.subscribers.summary()];
        let has_more = sides.into_iter().flatten().any(|summary| summary.earliest <= now);
        Ok(PruneAnswer { removed: removed as u64, has_more })
    }

    /// What a publish removes by the way.
    pub(super) fn make_room(&mut self) -> Result<(), Stop> {
        self.prune_messages(PRUNE_STEP)?;
        let is_over =
            |count, bytes| count > self.policy.messages_max || bytes > self.policy.bytes_max;
        let (mut count, mut bytes) = (self.books.messages.len(), self.books.bytes);
        let messages = self.books.messages;
        let (mut removed, mut from) = (Vec::new(), TopicPosition::ZERO);
        while is_over(count, bytes) && removed.len() < ROOM_MAX {
            // How many are too many is known; of bytes it shows, so that more are read each time.
            let over = count.saturating_sub(self.policy.messages_max);
            let over = usize::try_from(over).unwrap_or(usize::MAX).max(removed.len());
            let limit = over.clamp(1, ROOM_MAX - removed.len());
            let pages = &mut super::blocks::BlockPages(&mut *self.scope);
            let found = messages.range(pages, from, limit)?;
            let Some(last) = found.last() else { break };
            from = last.position.next();
            for entry in found {
                if is_over(count, bytes) {
                    count -= 1;
                    bytes = bytes.saturating_sub(u64::from(entry.bytes));
                    removed.push(entry);
                }
            }
        }
        self.remove_messages(removed)?;
        Ok(())
    }

    pub(super) fn prune_messages(&mut self, limit: usize) -> Result<usize, Stop> {
        let (messages, now) = (self.books.messages, self.now());
        let expired = messages.expired(&mut self.pages(), now, limit)?;
        self.remove_messages(expired)
    }

    /// Removes the first of some messages, as many as a transaction may; how many these are.
    fn remove_messages(&mut self, found: Vec<MessageEntry>) -> Result<usize, Stop> {
        let removed = removable(found);
        if removed.is_empty() {
            return Ok(0);
        }
        let edits: Vec<_> = removed.iter().map(|entry| (entry.position, None)).collect();
        let messages = self.books.messages;
        self.books.messages = messages.edit(&mut self.pages(), &edits)?;
        for entry in &removed {
            self.delete_body(entry)?;
            self.books.bytes = self.books.bytes.saturating_sub(u64::from(entry.bytes));
        }
        self.forget(&removed)?;
        Ok(removed.len())
    }

    pub(super) fn prune_leases(&mut self, limit: usize) -> Result<usize, Stop> {
        let (subscribers, now) = (self.books.subscribers, self.now());
        let expired = subscribers.expired(&mut self.pages(), now, limit)?;
        self.remove_leases(&expired)?;
        Ok(expired.len())
    }

    fn remove_leases(&mut self, removed: &[Lease]) -> Result<(), Stop> {
        for lease in removed {
            let subscribers = self.books.subscribers;
            self.books.subscribers = subscribers.remove(&mut self.pages(), &lease.id)?;
            if lease.standing == Standing::Live {
                self.books.live = self.books.live.saturating_sub(1);
            }
        }
        Ok(())
    }

    fn prune_snapshots(&mut self) -> Result<usize, Stop> {
        let now = self.now();
        let expired = self.books.snapshots.iter().take_while(|link| link.expires_at <= now);
        let count = expired.count();
        for _ in 0..count {
            self.drop_oldest_snapshot()?;
        }
        Ok(count)
    }

    /// Looks at some publishers in turn, and forgets those whose messages have all expired.
    fn sweep_publishers(&mut self) -> Result<usize, Stop> {
        let seen = self.publishers_after(&self.books.sweep.clone(), PRUNE_STEP)?;
        self.books.sweep = match seen.last() {
            Some((key, _)) if seen.len() == PRUNE_STEP => key.clone(),
            _ => Bytes::new(),
        };
        let mut removed = 0;
        for (key, value) in seen {
            removed += usize::from(self.sweep_publisher(&key, &value)?);
        }
        Ok(removed)
    }

    fn sweep_publisher(&mut self, key: &Bytes, value: &Bytes) -> Result<bool, Stop> {
        let now = self.now();
        let is_over = match key.len() {
            PEER_KEY_LEN => {
                let record: PeerRecord = self.decoded(value)?;
                record.expires_at <= now && record.incarnations == 0
            }
            RUN_KEY_LEN => self.decoded::<RunRecord>(value)?.expires_at <= now,
            _ => false,
        };
        if !is_over {
            return Ok(false);
        }
        self.delete_record(key)?;
        if key.len() == RUN_KEY_LEN {
            self.books.incarnations = self.books.incarnations.saturating_sub(1);
            let digest = key[..PEER_KEY_LEN].try_into().expect("a peer's digest has 32 bytes");
            let peer = weald_core::PeerId::from_digest(weald_core::Digest::from_bytes(digest));
            if let Some(mut record) = self.peer_record(&peer)? {
                record.incarnations = record.incarnations.saturating_sub(1);
                self.put_peer(&peer, &record)?;
            }
        }
        Ok(true)
    }

    fn publishers_after(&mut self, key: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, Stop> {
        let bounds = (Bound::Excluded(key), Bound::Unbounded);
        let tree = records(self.root.publishers);
        let scan = tree.range(&mut *self.scope, bounds, Direction::Forward).take(limit);
        let entries: Result<Vec<_>, _> =
            scan.map(|entry| entry.map(|entry| (entry.key, entry.value))).collect();
        Ok(entries?)
    }

    fn prune_groups(&mut self) -> Result<usize, Stop> {
        let now = self.now();
        let mut removed = 0;
        for (name, value) in self.all_groups()? {
            let group: GroupState = self.decoded(&value)?;
            if group.used_at.after(GROUP_IDLE_MAX) <= now {
                self.remove_group(&name)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    pub(super) fn all_groups(&mut self) -> Result<Vec<(Bytes, Bytes)>, Stop> {
        let tree = records(self.root.groups);
        let everything = weald_collections::btree::EVERYTHING;
        let scan = tree.range(&mut *self.scope, everything, Direction::Forward);
        let entries: Result<Vec<_>, _> =
            scan.map(|entry| entry.map(|entry| (entry.key, entry.value))).collect();
        Ok(entries?)
    }

    fn remove_group(&mut self, name: &[u8]) -> Result<(), Stop> {
        records(self.root.groups).delete(self.scope, name).map_err(tree_error)?;
        self.books.groups = self.books.groups.saturating_sub(1);
        Ok(())
    }

    /// Removes what is left of a topic that has ended.
    pub(super) fn clear(&mut self, limit: usize) -> Result<PruneAnswer, Stop> {
        let messages = self.books.messages;
        let found = messages.range(&mut self.pages(), TopicPosition::ZERO, limit)?;
        let mut removed = self.remove_messages(found)?;
        let subscribers = self.books.subscribers;
        let room = limit - removed;
        let found = subscribers.changed_after(&mut self.pages(), TopicVersion::ZERO, room)?;
        self.remove_leases(&found)?;
        removed += found.len();
        while !self.books.snapshots.is_empty() {
            self.drop_oldest_snapshot()?;
            removed += 1;
        }
        if removed < limit {
            removed += self.clear_records(limit - removed)?;
        }
        Ok(PruneAnswer { removed: removed as u64, has_more: !self.is_cleared()? })
    }

    fn clear_records(&mut self, limit: usize) -> Result<usize, Stop> {
        let found = self.publishers_after(&[], limit)?;
        for (key, _) in &found {
            self.delete_record(key)?;
            if key.len() == RUN_KEY_LEN {
                self.books.incarnations = self.books.incarnations.saturating_sub(1);
            }
        }
        let groups = self.all_groups()?;
        for (name, _) in &groups {
            self.remove_group(name)?;
        }
        Ok(found.len() + groups.len())
    }

    /// Whether nothing of the topic is left.
    pub(super) fn is_cleared(&mut self) -> Result<bool, Stop> {
        let books = &self.books;
        let is_empty = books.messages.is_empty()
            && books.subscribers.is_empty()
            && books.snapshots.is_empty()
            && books.groups == 0;
        Ok(is_empty && self.publishers_after(&[], 1)?.is_empty())
    }
}
