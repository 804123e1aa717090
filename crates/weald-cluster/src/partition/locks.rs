//! Parts of transactions over several partitions that wait here for their decision. An intent is
//! what a part will change in one collection, and locks it; a mark holds a block that was read.
//!
//! Every row begins with the placement key of what it is about, so that it moves with its range.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Base, BlockId, CollectionName, Digest, Effects, Lock, LogIndex, PartId, Pended, PlacementKey,
    Position, Revision, SessionStamp, Time, TransactionId, Transform,
};

use super::rows;

/// What one part will change in one collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Intent {
    pub(super) revision: Revision,
    pub(super) floor: Option<LogIndex>,
    /// Whether the collection is new.
    pub(super) is_new: bool,
    /// In the order of the blocks' ids.
    pub(super) transforms: Vec<Transform>,
}

impl Intent {
    fn bytes(&self) -> u64 {
        let bytes: usize = self.transforms.iter().map(|t| t.change.payload_bytes() + 64).sum();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn makes(&self, block: BlockId) -> bool {
        let found = self.transforms.binary_search_by_key(&block, |transform| transform.id);
        found.is_ok_and(|at| self.transforms[at].base == Base::Absent)
    }
}

/// What all rows of a part say alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) digest: Digest,
    pub(super) expiry: Time,
    pub(super) session: Option<SessionStamp>,
    pub(super) is_primary: bool,
    pub(super) deadline: Time,
    pub(super) pend: Position,
}

/// What the client will be told of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) answers: Vec<Bytes>,
    pub(super) revisions: Vec<(CollectionName, Revision)>,
}

/// A part that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) terms: Terms,
    pub(super) told: Told,
    /// By collection.
    pub(super) intents: BTreeMap<BlockId, Intent>,
    pub(super) marks: BTreeSet<BlockId>,
}

impl Part {
    pub(super) fn pended(&self, id: TransactionId) -> Pended {
        let Told { answers, revisions } = self.told.clone();
        Pended { lock: self.lock(id), keys: self.locked_keys(), answers, revisions }
    }

    /// The placement keys of the locked collections.
    pub(super) fn locked_keys(&self) -> Vec<PlacementKey> {
        let keys: BTreeSet<PlacementKey> = self.intents.keys().map(BlockId::placement).collect();
        keys.into_iter().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.intents.is_empty() && self.marks.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.intents.values().map(Intent::bytes).sum()
    }

    pub(super) fn changed(&self) -> Vec<(BlockId, Revision)> {
        self.intents.iter().map(|(collection, intent)| (*collection, intent.revision)).collect()
    }

    /// The placement keys that rows of this part stand under.
    fn keys(&self) -> BTreeSet<PlacementKey> {
        self.intents.keys().chain(&self.marks).map(BlockId::placement).collect()
    }

    /// What is to stay of it under one placement key.
    fn tombstone(&self, key: PlacementKey, is_committed: bool) -> Tombstone {
        let changed = self.changed().into_iter();
        let changed = changed.filter(|(id, _)| is_committed && id.placement() == key).collect();
        let Terms { digest, expiry: keep_until, .. } = self.terms;
        Tombstone { digest, keep_until, is_committed, changed }
    }

    pub(super) fn lock(&self, id: TransactionId) -> Lock {
        let Terms { expiry, session, deadline, pend, .. } = self.terms;
        Lock { holder: PartId { id, pend }, deadline, expiry, session }
    }
}

/// A part's row under one placement key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartRow {
    terms: Terms,
    marks: Vec<BlockId>,
    /// In the first row only.
    told: Option<Told>,
}

/// An intent's row, without its transforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IntentRow {
    pub(super) lock: Lock,
    revision: Revision,
    floor: Option<LogIndex>,
    is_new: bool,
}

/// One transform of an intent, under its block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TransformRow {
    collection: BlockId,
    holder: TransactionId,
    transform: Transform,
}

/// What stays of a part that was resolved, so that a late copy of its `Pend` is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub(super) digest: Digest,
    /// Kept while log time is not past this.
    pub(super) keep_until: Time,
    pub(super) is_committed: bool,
    pub(super) changed: Vec<(BlockId, Revision)>,
}

/// The table of parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Locks {
    parts: BTreeMap<TransactionId, Part>,
    collections: BTreeMap<BlockId, TransactionId>,
    marks: BTreeMap<BlockId, BTreeSet<TransactionId>>,
    by_deadline: BTreeSet<(Time, TransactionId)>,
    bytes: u64,
    tombstones: BTreeMap<(PlacementKey, TransactionId), Tombstone>,
    by_expiry: BTreeSet<(Time, PlacementKey, TransactionId)>,
    /// Ids with a tombstone, and under how many keys.
    buried: BTreeMap<TransactionId, usize>,
    writers: BTreeMap<(BlockId, Revision), TransactionId>,
}

impl Locks {
    /// Transactions that hold locks here, and those that are kept after they have.
    pub(super) fn len(&self) -> usize {
        self.parts.len() + self.buried.len()
    }

    /// Transactions that hold locks here.
    pub(super) fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// Bytes of changes that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn part(&self, id: &TransactionId) -> Option<&Part> {
        self.parts.get(id)
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = (&TransactionId, &Part)> {
        self.parts.iter()
    }

    /// What stays of `id` at `time`, swept or not.
    pub(super) fn tombstone(&self, id: &TransactionId, time: Time) -> Option<&Tombstone> {
        self.buried.get(id)?;
        let of_id = self.tombstones.iter().filter(|((_, buried), _)| buried == id);
        of_id.map(|(_, tombstone)| tombstone).find(|tombstone| tombstone.keep_until >= time)
    }

    /// The transaction that wrote a revision of a collection through a part.
    pub(super) fn winner(&self, collection: BlockId, revision: Revision) -> Option<TransactionId> {
        self.writers.get(&(collection, revision)).copied()
    }

    /// The lock on a collection.
    pub(super) fn lock(&self, collection: &BlockId) -> Option<Lock> {
        let id = self.collections.get(collection)?;
        self.parts.get(id).map(|part| part.lock(*id))
    }

    /// Who will make a block that is absent.
    pub(super) fn maker(&self, block: BlockId) -> Option<TransactionId> {
        let key = block.placement();
        let makes = |part: &Part| part.intents.values().any(|intent| intent.makes(block));
        let near =
            |part: &Part| part.intents.keys().any(|collection| collection.placement() == key);
        self.parts.iter().find(|(_, part)| near(part) && makes(part)).map(|(id, _)| *id)
    }

    /// Whether no collection is locked.
    pub(super) fn has_no_locks(&self) -> bool {
        self.collections.is_empty()
    }

    /// Whether no block is marked.
    pub(super) fn has_no_marks(&self) -> bool {
        self.marks.is_empty()
    }

    /// Somebody other than `own` who holds `block` as it is.
    pub(super) fn marker(&self, block: BlockId, own: TransactionId) -> Option<TransactionId> {
        self.marks.get(&block)?.iter().find(|id| **id != own).copied()
    }

    /// Parts whose deadline is before `now`, the earliest first.
    pub(super) fn overdue(&self, now: Time) -> impl Iterator<Item = (TransactionId, &Part)> {
        let late = self.by_deadline.iter().take_while(move |(deadline, _)| *deadline < now);
        late.filter_map(|(_, id)| Some((*id, self.parts.get(id)?)))
    }

    /// The earliest deadline.
    pub(super) fn first_deadline(&self) -> Option<Time> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Log time at which the first tombstone is over.
    pub(super) fn first_expiry(&self) -> Option<Time> {
        self.by_expiry.first().map(|(time, ..)| *time)
    }

    /// All locks on collections.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BlockId, Lock)> {
        self.collections.keys().filter_map(|collection| Some((*collection, self.lock(collection)?)))
    }

    /// Takes a part in.
    ///
    /// # Panics
    /// When something of it is locked already, which execution has refused.
    pub(super) fn hold(&mut self, id: TransactionId, part: Part, effects: &mut Effects) {
        let mut told = Some(part.told.clone());
        for key in part.keys() {
            let marks = part.marks.iter().filter(|block| block.placement() == key);
            let row =
                PartRow { terms: part.terms, marks: marks.copied().collect(), told: told.take() };
            effects.rows.insert(rows::part_key(key, &id), Some(rows::part_value(&row)));
        }
        for (collection, intent) in &part.intents {
            let &Intent { revision, floor, is_new, .. } = intent;
            let row = IntentRow { lock: part.lock(id), revision, floor, is_new };
            effects.rows.insert(rows::intent_key(*collection), Some(rows::intent_value(&row)));
            for transform in &intent.transforms {
                let (collection, transform) = (*collection, transform.clone());
                let key = rows::transform_key(transform.id);
                let row = TransformRow { collection, holder: id, transform };
                effects.rows.insert(key, Some(rows::transform_value(&row)));
            }
        }
        self.index(id, &part);
        assert!(self.parts.insert(id, part).is_none(), "a transaction has one part here");
    }

    /// Gives up the locks of a part and returns it. A participant keeps the id until its expiry.
    pub(super) fn release(
        &mut self,
        id: &TransactionId,
        is_committed: bool,
        effects: &mut Effects,
    ) -> Option<Part> {
        let part = self.parts.remove(id)?;
        for (collection, intent) in &part.intents {
            self.collections.remove(collection);
            effects.rows.insert(rows::intent_key(*collection), None);
            let blocks = intent.transforms.iter().map(|transform| transform.id);
            effects.rows.extend(blocks.map(|block| (rows::transform_key(block), None)));
        }
        for block in &part.marks {
            let holders = self.marks.get_mut(block).expect("a mark has holders");
            holders.remove(id);
            if holders.is_empty() {
                self.marks.remove(block);
            }
        }
        self.by_deadline.remove(&(part.terms.deadline, *id));
        self.bytes -= part.bytes();
        for key in part.keys() {
            effects.rows.insert(rows::part_key(key, id), None);
            if !part.terms.is_primary {
                self.bury(key, *id, part.tombstone(key, is_committed), effects);
            }
        }
        Some(part)
    }

    fn bury(
        &mut self,
        key: PlacementKey,
        id: TransactionId,
        tombstone: Tombstone,
        effects: &mut Effects,
    ) {
        let value = Some(rows::tombstone_value(&tombstone));
        effects.rows.insert(rows::tombstone_key(key, &id), value);
        self.restore_tombstone(key, id, tombstone);
    }

    /// Drops up to `max` tombstones whose time is over.
    pub(super) fn sweep(&mut self, time: Time, max: usize, effects: &mut Effects) {
        for _ in 0..max {
            let Some(&(keep_until, key, id)) = self.by_expiry.first() else { return };
            if keep_until >= time {
                return;
            }
            self.exhume(key, id);
            effects.rows.insert(rows::tombstone_key(key, &id), None);
        }
    }

    fn exhume(&mut self, key: PlacementKey, id: TransactionId) {
        let Some(tombstone) = self.tombstones.remove(&(key, id)) else { return };
        self.by_expiry.remove(&(tombstone.keep_until, key, id));
        for changed in &tombstone.changed {
            self.writers.remove(changed);
        }
        let rows = self.buried.get_mut(&id).expect("a tombstone is counted");
        *rows -= 1;
        if *rows == 0 {
            self.buried.remove(&id);
        }
    }

    fn index(&mut self, id: TransactionId, part: &Part) {
        for collection in part.intents.keys() {
            let before = self.collections.insert(*collection, id);
            assert!(before.is_none(), "a collection has one intent");
        }
        for block in &part.marks {
            self.marks.entry(*block).or_default().insert(id);
        }
        self.by_deadline.insert((part.terms.deadline, id));
        self.bytes += part.bytes();
    }

    pub(super) fn restore_tombstone(
        &mut self,
        key: PlacementKey,
        id: TransactionId,
        tombstone: Tombstone,
    ) {
        // An id may come again once it has expired, and before it is swept.
        self.exhume(key, id);
        self.by_expiry.insert((tombstone.keep_until, key, id));
        for &changed in &tombstone.changed {
            self.writers.insert(changed, id);
        }
        self.tombstones.insert((key, id), tombstone);
        *self.buried.entry(id).or_default() += 1;
    }
}

/// Parts as their rows come in, in any order.
#[derive(Debug, Default)]
pub(super) struct RestoredParts {
    parts: BTreeMap<TransactionId, Part>,
    intents: BTreeMap<BlockId, IntentRow>,
    /// By collection and holder, in the order of the blocks.
    transforms: BTreeMap<(BlockId, TransactionId), Vec<Transform>>,
}

impl RestoredParts {
    pub(super) fn part(&mut self, id: TransactionId, row: PartRow) {
        let part = self.parts.entry(id).or_insert_with(|| Part {
            terms: row.terms,
            told: Told::default(),
            intents: BTreeMap::new(),
            marks: BTreeSet::new(),
        });
        part.marks.extend(row.marks);
        part.told = row.told.unwrap_or_else(|| std::mem::take(&mut part.told));
    }

    pub(super) fn intent(&mut self, collection: BlockId, row: IntentRow) {
        self.intents.insert(collection, row);
    }

    pub(super) fn transform(&mut self, row: TransformRow) {
        let TransformRow { collection, holder, transform } = row;
        self.transforms.entry((collection, holder)).or_default().push(transform);
    }

    /// Puts the parts into `locks`. Rows of intents and transforms without their part's row do not
    /// count: all are written and deleted by the same entries.
    pub(super) fn finish(mut self, locks: &mut Locks) {
        for (collection, row) in self.intents {
            let IntentRow { lock, revision, floor, is_new } = row;
            let id = lock.holder.id;
            let mut transforms = self.transforms.remove(&(collection, id)).unwrap_or_default();
            transforms.sort_by_key(|transform| transform.id);
            if let Some(part) = self.parts.get_mut(&id) {
                let intent = Intent { revision, floor, is_new, transforms };
                part.intents.insert(collection, intent);
            }
        }
        for (id, part) in self.parts {
            locks.index(id, &part);
            locks.parts.insert(id, part);
        }
    }
}
