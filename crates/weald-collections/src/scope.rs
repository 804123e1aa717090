//! What one action may touch: the blocks of its own collection, through the transaction's overlay.

use std::{cell::Cell, sync::Arc};

use bytes::Bytes;
use weald_core::{
    Block, BlockId, BlockKind, Context, Halt, Overlay, OverlayError, Rejection, Revision, Sequence,
    Splice, StoredBlock, Time, TransformError, limits::BLOCK_BYTES_MAX,
};

use crate::{
    BlockReader, BlockWriter, ChainEntry, ChainState, ChainUse, CollectionHeader, Stop,
    chain::{self, EntryStamp},
    executor::{CHANGE_NOTES_BYTES_MAX, Opened, WORK_FACTOR},
};

/// A collection as one transaction sees and changes it.
///
/// Block ids come from the transaction's id and a counter that all its actions share, so that the
/// same transaction makes the same blocks everywhere.
///
/// A halt is remembered: whatever a collection type makes of it, even a panic, the execution ends
/// with it. What is in memory can therefore never show in a result.
#[derive(Debug)]
pub struct Scope<'a, 's> {
    overlay: &'a mut Overlay<'s>,
    context: &'a Context,
    ledger: &'a mut Ledger,
    opened: &'a mut Opened,
}

/// What all scopes of one transaction share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Blocks made so far; the next one's ordinal.
    ordinal: u32,
    /// Bytes written so far, whether or not they stay.
    written: usize,
    /// Whether reads become dependencies of the transaction.
    pub(crate) is_noting: bool,
    /// Whether the type looked at what the state block holds.
    pub(crate) has_seen_state: Cell<bool>,
    /// The first thing that stops the transaction, whatever the type returns.
    pub(crate) stop: Option<Stop>,
}

impl<'a, 's> Scope<'a, 's> {
    pub(crate) fn new(
        overlay: &'a mut Overlay<'s>,
        context: &'a Context,
        ledger: &'a mut Ledger,
        opened: &'a mut Opened,
    ) -> Self {
        Self { overlay, context, ledger, opened }
    }

    /// The id of the collection: its header block's.
    pub fn collection(&self) -> BlockId {
        self.opened.id
    }

    /// What the collection is, with the structure's static data as `root`.
    pub fn header(&self) -> &CollectionHeader {
        &self.opened.header
    }

    /// Log time: the only clock here.
    pub fn time(&self) -> Time {
        self.context.time
    }

    /// What the execution knows besides blocks.
    pub fn context(&self) -> &Context {
        self.context
    }

    /// The number of items as the type counts them, kept in the state block.
    pub fn items(&self) -> u64 {
        self.ledger.has_seen_state.set(true);
        self.opened.state.items
    }

    /// Adds to the number of items, or takes from it, without looking at it: a client's transaction
    /// that does only this does not depend on the number.
    pub fn add_items(&mut self, difference: i64) {
        let items = self.opened.state.items.saturating_add_signed(difference);
        self.set_items(items);
    }

    /// Sets the number of items.
    pub fn set_items(&mut self, items: u64) {
        self.opened.is_changed |= self.opened.state.items != items;
        self.opened.state.items = items;
    }

    /// Notes what changed, for those who watch the collection. Only for types whose chain holds
    /// [`ChainUse::Changes`].
    pub fn note_change(&mut self, note: Bytes) {
        self.opened.is_changed = true;
        self.opened.notes_bytes += note.len();
        if self.opened.notes_bytes > CHANGE_NOTES_BYTES_MAX {
            let actual = self.opened.notes_bytes;
            self.stop_with(too_large("change notes bytes", actual, CHANGE_NOTES_BYTES_MAX));
        }
        self.opened.notes.push(note);
    }

    /// The chain as this transaction has it.
    pub fn chain(&self) -> &ChainState {
        self.ledger.has_seen_state.set(true);
        &self.opened.state.chain
    }

    /// Appends entries to the chain and returns the sequence of the first. Only for types whose
    /// chain holds [`ChainUse::Entries`].
    ///
    /// # Errors
    /// [`Halt`] when a block of the chain cannot be read.
    pub fn append(&mut self, payloads: &[Bytes]) -> Result<Sequence, Halt> {
        self.check_owns_chain()?;
        self.ledger.has_seen_state.set(true);
        let stamp = EntryStamp::new(self.context, self.revision());
        self.opened.appended += payloads.len() as u64;
        self.with_chain(|scope, chain| chain::append(scope, chain, &stamp, payloads))
    }

    /// Takes up to `count` entries from the front of the chain, oldest first.
    ///
    /// # Errors
    /// As [`Scope::append`].
    pub fn dequeue(&mut self, count: usize) -> Result<Vec<ChainEntry>, Halt> {
        self.check_owns_chain()?;
        self.ledger.has_seen_state.set(true);
        self.with_chain(|scope, chain| chain::dequeue(scope, chain, count))
    }

    /// Takes up to `count` entries from the end of the chain, newest first.
    ///
    /// # Errors
    /// As [`Scope::append`].
    pub fn pop(&mut self, count: usize) -> Result<Vec<ChainEntry>, Halt> {
        self.check_owns_chain()?;
        self.ledger.has_seen_state.set(true);
        self.with_chain(|scope, chain| chain::pop(scope, chain, count))
    }

    pub(crate) fn with_chain<T>(
        &mut self,
        change: impl FnOnce(&mut Self, &mut ChainState) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let mut chain = self.opened.state.chain;
        let result = change(self, &mut chain);
        let result = self.noted(result)?;
        self.opened.is_changed |= self.opened.state.chain != chain;
        self.opened.state.chain = chain;
        Ok(result)
    }

    fn check_owns_chain(&mut self) -> Result<(), Halt> {
        if self.opened.header.chain_use == ChainUse::Entries {
            return Ok(());
        }
        let detail = "the chain of this type holds changes, not entries".to_owned();
        self.refuse(self.opened.id, Rejection::Invalid { detail })
    }

    /// Remembers the first halt.
    fn noted<T>(&mut self, result: Result<T, Halt>) -> Result<T, Halt> {
        if let Err(halt) = &result {
            self.stop_with(halt.clone());
        }
        result
    }

    fn stop_with(&mut self, stop: impl Into<Stop>) {
        self.ledger.stop.get_or_insert(stop.into());
    }

    /// Ends the execution with `rejection`; what is returned only leads out of the type's code.
    fn refuse<T>(&mut self, id: BlockId, rejection: Rejection) -> Result<T, Halt> {
        self.stop_with(rejection);
        Err(TransformError::Mismatch { id, what: "the action was refused" }.into())
    }

    fn staged(&mut self, id: BlockId, result: Result<(), OverlayError>) -> Result<(), Halt> {
        match result {
            Err(OverlayError::Transform(TransformError::TooLarge { bytes, max, .. })) => {
                self.refuse(id, too_large("block bytes", bytes, max))
            }
            result => self.noted(result.map_err(Halt::from)),
        }
    }

    /// Counts work and refuses what no transaction may do.
    fn count(&mut self, id: BlockId, bytes: usize) -> Result<(), Halt> {
        self.opened.is_changed = true;
        self.ledger.written = self.ledger.written.saturating_add(bytes);
        let limits = &self.context.limits;
        let (written, max) = (self.ledger.written, limits.bytes_max.saturating_mul(WORK_FACTOR));
        if written > max {
            return self.refuse(id, too_large("bytes written", written, max));
        }
        if bytes > BLOCK_BYTES_MAX {
            return self.refuse(id, too_large("block bytes", bytes, BLOCK_BYTES_MAX));
        }
        Ok(())
    }

    fn check_own(&mut self, id: BlockId) -> Result<(), Halt> {
        let own = self.opened.id;
        if self.read(id)?.is_none_or(|stored| stored.block.collection == own) {
            return Ok(());
        }
        let detail = "a collection type changed a block of another collection".to_owned();
        self.refuse(id, Rejection::Invalid { detail })
    }
}

impl BlockReader for Scope<'_, '_> {
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        let result = match self.ledger.is_noting {
            true => self.overlay.read_noted(id),
            false => self.overlay.read(id),
        };
        self.noted(result)
    }

    fn expect(&mut self, id: BlockId, kind: BlockKind) -> Result<Arc<StoredBlock>, Halt> {
        let result = crate::blocks::expect(self, id, kind);
        self.noted(result)
    }
}

impl BlockWriter for Scope<'_, '_> {
    fn revision(&self) -> Revision {
        self.opened.revision()
    }

    fn insert(&mut self, kind: BlockKind, payload: Bytes) -> Result<BlockId, Halt> {
        let key = self.opened.id.placement();
        let id = BlockId::derived(key, &self.context.transaction, self.ledger.ordinal);
        self.count(id, payload.len())?;
        let made = usize::try_from(self.ledger.ordinal).unwrap_or(usize::MAX);
        let max = self.context.limits.blocks_max.saturating_mul(WORK_FACTOR);
        if made >= max {
            return self.refuse(id, too_large("blocks made", made, max));
        }
        self.ledger.ordinal += 1;
        let collection = self.opened.id;
        let inserted = self.overlay.insert(Block { id, kind, collection, payload });
        if matches!(inserted, Err(OverlayError::Exists(_))) {
            // Only an earlier transaction of this id can have made it, of which no result is kept.
            return self.refuse(id, Rejection::IdReused);
        }
        self.staged(id, inserted)?;
        Ok(id)
    }

    fn splice(&mut self, id: BlockId, splices: Vec<Splice>) -> Result<(), Halt> {
        self.check_own(id)?;
        self.count(id, splices.iter().map(|splice| splice.insert.len()).sum())?;
        let spliced = self.overlay.splice(id, splices);
        self.staged(id, spliced)
    }

    fn replace(&mut self, id: BlockId, kind: BlockKind, payload: Bytes) -> Result<(), Halt> {
        self.check_own(id)?;
        self.count(id, payload.len())?;
        let collection = self.opened.id;
        let replaced = self.overlay.replace(Block { id, kind, collection, payload });
        self.staged(id, replaced)
    }

    fn delete(&mut self, id: BlockId) -> Result<(), Halt> {
        self.check_own(id)?;
        self.count(id, 0)?;
        let deleted = self.overlay.delete(id);
        self.staged(id, deleted)
    }
}

pub(crate) fn too_large(what: &str, actual: usize, max: usize) -> Rejection {
    Rejection::TooLarge { what: what.to_owned(), actual: actual as u64, max: max as u64 }
}
