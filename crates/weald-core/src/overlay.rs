//! The overlay: staged block changes over a source, with savepoints. Each transaction owns one;
//! rolling it back touches nothing else.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use crate::{
    Base, Block, BlockEffect, BlockId, BlockRead, BlockSource, Change, Halt, ReadDependency,
    Revision, Splice, StoredBlock, Transform, TransformError, transform::spliced,
};

/// A point to roll back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Savepoint(usize);

/// Why a change could not be staged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The block to insert is there already.
    #[error("insert of a block that exists: block={0}")]
    Exists(BlockId),
    /// The block to change is not there.
    #[error("change of a block that does not exist: block={0}")]
    Absent(BlockId),
    /// The change does not fit the block.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// The block could not be read.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl From<OverlayError> for Halt {
    /// Code that stages a change which does not fit has met blocks that do not fit together: a
    /// fault of this member, never a result.
    fn from(error: OverlayError) -> Self {
        let fault = |id, what| TransformError::Mismatch { id, what }.into();
        match error {
            OverlayError::Exists(id) => fault(id, "insert of a block that exists"),
            OverlayError::Absent(id) => fault(id, "change of a block that does not exist"),
            OverlayError::Transform(error) => error.into(),
            OverlayError::Halt(halt) => halt,
        }
    }
}

/// Staged changes over a [`BlockSource`]. Reads see them; the source does not.
///
/// A block is fetched once: later reads and changes work on the staged copy, so a hot block costs
/// neither a second look at the source nor a replay.
pub struct Overlay<'s> {
    source: &'s dyn BlockSource,
    /// Boxed, so that the nodes of the map are small.
    staged: BTreeMap<BlockId, Box<Staged>>,
    journal: Vec<Undo>,
    reads: Option<BTreeMap<BlockId, Base>>,
}

#[derive(Clone, Debug)]
struct Staged {
    base: Base,
    /// Whose the block is or was; `None` only while there is none.
    collection: Option<BlockId>,
    current: Option<Arc<StoredBlock>>,
    edit: Edit,
}

#[derive(Clone, Debug)]
enum Edit {
    /// Fetched, not changed.
    None,
    /// Spliced; the splices give `current` from the source's block.
    Splices(Vec<Splice>),
    /// Made or made anew: `current` is the whole truth.
    Whole,
}

#[derive(Debug)]
enum Undo {
    /// The last splice of a block, with the block before it.
    Splice(BlockId, Arc<StoredBlock>),
    /// Anything else, with all that was staged before.
    Replace(BlockId, Option<Box<Staged>>),
}

impl<'s> Overlay<'s> {
    /// An empty overlay over `source`.
    pub fn new(source: &'s dyn BlockSource) -> Self {
        Self { source, staged: BTreeMap::new(), journal: Vec::new(), reads: None }
    }

    /// An empty overlay that notes the blocks which [`Overlay::read_noted`] reads.
    pub fn with_reads_noted(source: &'s dyn BlockSource) -> Self {
        Self { reads: Some(BTreeMap::new()), ..Self::new(source) }
    }

    /// The block named `id`, with all staged changes; `None` when it is proved absent.
    ///
    /// # Errors
    /// [`Halt`] when the source does not have it in memory or cannot tell.
    pub fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        self.fetch(id).map(|staged| staged.current.clone())
    }

    /// As [`Overlay::read`], and notes the read as a dependency if this overlay notes any. What the
    /// overlay itself made is none; but that there was no header or state block is one, because
    /// their ids come from the collection's name and others may make them, too.
    ///
    /// # Errors
    /// As [`Overlay::read`].
    pub fn read_noted(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        let staged = self.fetch(id)?;
        let (base, current) = (staged.base, staged.current.clone());
        let is_own = |stored: &Arc<StoredBlock>| stored.block.kind.is_named_by_transaction();
        let made_here = base == Base::Absent && current.as_ref().is_some_and(is_own);
        if let Some(reads) = self.reads.as_mut().filter(|_| !made_here) {
            reads.insert(id, base);
        }
        Ok(current)
    }

    /// Adds a block.
    ///
    /// # Errors
    /// [`OverlayError::Exists`] when it is there already.
    pub fn insert(&mut self, block: Block) -> Result<(), OverlayError> {
        let id = block.id;
        let staged = self.fetch(id)?;
        if staged.current.is_some() {
            return Err(OverlayError::Exists(id));
        }
        let next = staged.whole(Some(block));
        self.stage(id, next);
        Ok(())
    }

    /// Replaces a block as a whole.
    ///
    /// # Errors
    /// [`OverlayError::Absent`] when it is not there.
    pub fn replace(&mut self, block: Block) -> Result<(), OverlayError> {
        let id = block.id;
        let staged = self.fetch(id)?;
        if staged.current.is_none() {
            return Err(OverlayError::Absent(id));
        }
        let next = staged.whole(Some(block));
        self.stage(id, next);
        Ok(())
    }

    /// Splices a block's payload.
    ///
    /// # Errors
    /// [`OverlayError::Absent`] when it is not there; [`OverlayError::Transform`] when a splice
    /// does not fit, and then nothing of it is staged.
    pub fn splice(&mut self, id: BlockId, splices: Vec<Splice>) -> Result<(), OverlayError> {
        let staged = self.fetch(id)?;
        let before = staged.current.clone().ok_or(OverlayError::Absent(id))?;
        let payload = spliced(id, &before.block.payload, &splices)?;
        let Block { id, kind, collection, .. } = before.block;
        let block = Block { id, kind, collection, payload };
        let after = Arc::new(StoredBlock { block, revision: before.revision });
        match &mut staged.edit {
            Edit::Splices(list) if splices.len() == 1 => {
                list.extend(splices);
                staged.current = Some(after);
                self.journal.push(Undo::Splice(id, before));
            }
            _ => {
                let mut next = staged.clone();
                next.current = Some(after);
                match &mut next.edit {
                    Edit::Splices(list) => list.extend(splices),
                    edit @ Edit::None => *edit = Edit::Splices(splices),
                    Edit::Whole => {}
                }
                self.stage(id, next);
            }
        }
        Ok(())
    }

    /// Removes a block.
    ///
    /// # Errors
    /// [`OverlayError::Absent`] when it is not there.
    pub fn delete(&mut self, id: BlockId) -> Result<(), OverlayError> {
        let staged = self.fetch(id)?;
        if staged.current.is_none() {
            return Err(OverlayError::Absent(id));
        }
        let next = staged.whole(None);
        self.stage(id, next);
        Ok(())
    }

    /// Stages a change that somebody else computed, if its base holds.
    ///
    /// # Errors
    /// As [`Transform::apply`], or when the block could not be read.
    pub fn apply(&mut self, transform: &Transform) -> Result<(), OverlayError> {
        let staged = self.fetch(transform.id)?;
        let after = transform.apply(staged.current.as_deref())?;
        let mut next = staged.whole(after);
        if let (Change::Update(splices), Edit::None) = (&transform.change, &staged.edit) {
            next.edit = Edit::Splices(splices.clone());
        }
        self.stage(transform.id, next);
        Ok(())
    }

    /// Marks this point.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.journal.len())
    }

    /// Takes back everything staged since `savepoint`. Noted reads stay noted: what was read was
    /// read.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        while self.journal.len() > savepoint.0 {
            match self.journal.pop().expect("the journal is longer than the savepoint") {
                Undo::Splice(id, before) => {
                    let staged = self.staged.get_mut(&id).expect("a journalled block is staged");
                    staged.current = Some(before);
                    if let Edit::Splices(list) = &mut staged.edit {
                        list.pop();
                    }
                }
                Undo::Replace(id, Some(staged)) => drop(self.staged.insert(id, staged)),
                Undo::Replace(id, None) => drop(self.staged.remove(&id)),
            }
        }
    }

    /// Whether nothing is staged that would change the source.
    pub fn is_clean(&self) -> bool {
        self.changed_count() == 0
    }

    /// Blocks that would change.
    pub fn changed_count(&self) -> usize {
        self.changes().count()
    }

    /// The blocks that would change, in the order of their ids.
    pub fn changed_ids(&self) -> impl Iterator<Item = BlockId> {
        self.changes().map(|(id, _)| *id)
    }

    /// The collection of a block that would change.
    pub fn changed_collection(&self, id: BlockId) -> Option<BlockId> {
        self.staged.get(&id).filter(|staged| staged.is_changed())?.collection
    }

    /// Bytes that the changes carry.
    pub fn changed_bytes(&self) -> usize {
        self.changes().map(|(_, staged)| staged.change_bytes()).sum()
    }

    /// The reads that were noted, in the order of the blocks' ids.
    pub fn noted_reads(&self) -> Vec<ReadDependency> {
        let reads = self.reads.iter().flatten();
        reads.map(|(&block, &base)| ReadDependency { block, base }).collect()
    }

    /// The staged changes as transforms, in the order of the blocks' ids.
    pub fn transforms(&self) -> Vec<Transform> {
        self.changes()
            .map(|(&id, staged)| Transform { id, base: staged.base, change: staged.change() })
            .collect()
    }

    /// The staged changes with their results. `revision_of` gives the revision that a collection
    /// (by its header's id) has through this transaction.
    pub fn into_effects(self, revision_of: impl Fn(BlockId) -> Revision) -> Vec<BlockEffect> {
        let Self { staged, journal, .. } = self;
        // What it holds of the blocks would make copies necessary.
        drop(journal);
        let effect = |(id, staged): (BlockId, Box<Staged>)| {
            let Staged { base, collection, current, edit } = *staged;
            let revision = revision_of(collection.expect("a changed block is or was somebody's"));
            let change = change_of(edit, current.as_deref());
            let after = current.map(|stored| at_revision(stored, revision));
            BlockEffect { id, base, revision, change, after }
        };
        staged.into_iter().filter(|(_, staged)| staged.is_changed()).map(effect).collect()
    }

    fn fetch(&mut self, id: BlockId) -> Result<&mut Staged, Halt> {
        match self.staged.entry(id) {
            Entry::Occupied(occupied) => Ok(occupied.into_mut()),
            Entry::Vacant(vacant) => {
                let current = match self.source.block(id)? {
                    BlockRead::Present(stored) => Some(stored),
                    BlockRead::Absent => None,
                    BlockRead::NotHere => return Err(Halt::Need(vec![id])),
                };
                let base = Base::of(current.as_deref());
                let collection = current.as_ref().map(|stored| stored.block.collection);
                let staged = Staged { base, collection, current, edit: Edit::None };
                Ok(vacant.insert(Box::new(staged)))
            }
        }
    }

    fn stage(&mut self, id: BlockId, next: Staged) {
        let before = self.staged.insert(id, Box::new(next));
        self.journal.push(Undo::Replace(id, before));
    }

    fn changes(&self) -> impl Iterator<Item = (&BlockId, &Staged)> {
        let staged = self.staged.iter().map(|(id, staged)| (id, &**staged));
        staged.filter(|(_, staged)| staged.is_changed())
    }
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("staged", &self.staged).finish_non_exhaustive()
    }
}

impl Staged {
    /// Made and deleted again here is no change.
    fn is_changed(&self) -> bool {
        match self.edit {
            Edit::None => false,
            Edit::Splices(_) => true,
            Edit::Whole => self.base != Base::Absent || self.current.is_some(),
        }
    }

    fn change(&self) -> Change {
        change_of(self.edit.clone(), self.current.as_deref())
    }

    fn change_bytes(&self) -> usize {
        let whole = self.current.as_ref().map_or(0, |stored| stored.block.payload.len());
        match &self.edit {
            Edit::Splices(splices) => {
                splices.iter().map(|splice| splice.insert.len()).sum::<usize>().min(whole)
            }
            _ => whole,
        }
    }

    /// What follows this when the block becomes `after` as a whole.
    fn whole(&self, after: Option<Block>) -> Self {
        let collection = after.as_ref().map(|block| block.collection).or(self.collection);
        Self { base: self.base, collection, current: after.map(fresh), edit: Edit::Whole }
    }
}

/// Splices stay splices while they are smaller than the whole block.
fn change_of(edit: Edit, current: Option<&StoredBlock>) -> Change {
    match (edit, current) {
        (_, None) => Change::Delete,
        (Edit::Splices(splices), Some(stored)) => {
            let update = Change::Update(splices);
            if update.payload_bytes() < stored.block.payload.len() {
                update
            } else {
                Change::Insert(stored.block.clone())
            }
        }
        (_, Some(stored)) => Change::Insert(stored.block.clone()),
    }
}

/// The block as `revision` wrote it; copied only if somebody else has it, too.
fn at_revision(mut stored: Arc<StoredBlock>, revision: Revision) -> Arc<StoredBlock> {
    if let Some(own) = Arc::get_mut(&mut stored) {
        own.revision = revision;
        return stored;
    }
    Arc::new(StoredBlock { block: stored.block.clone(), revision })
}

/// A block made here has no revision yet; [`Overlay::into_effects`] gives it one.
fn fresh(block: Block) -> Arc<StoredBlock> {
    Arc::new(StoredBlock { block, revision: Revision::ZERO })
}

#[cfg(test)]
mod tests;
