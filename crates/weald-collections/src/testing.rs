//! A partition in memory for tests: actions in, blocks kept, faults on demand.

use std::{cell::Cell, collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weald_core::{
    Action, BlockId, BlockRead, BlockSource, CollectionName, Context, Executed, Executor, Fault,
    LogIndex, Overlay, Rejection, Revision, StoredBlock, Time, TransactionId,
    limits::TransactionLimits,
};

use crate::{CollectionExecutor, CollectionType, Registry};

/// What the source answers from the n-th question on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Fault,
    NotHere,
}

/// Blocks that can fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) blocks: BTreeMap<BlockId, Arc<StoredBlock>>,
    pub(crate) asked: Cell<usize>,
    /// The question (from 0) that meets trouble.
    pub(crate) trouble: Cell<Option<(usize, Trouble)>>,
}

impl BlockSource for Blocks {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        let asked = self.asked.replace(self.asked.get() + 1);
        match self.trouble.get() {
            Some((at, Trouble::Fault)) if at == asked => Err(Fault::Storage("injected".into())),
            Some((at, Trouble::NotHere)) if at == asked => Ok(BlockRead::NotHere),
            _ => Ok(self.blocks.get(&id).cloned().map_or(BlockRead::Absent, BlockRead::Present)),
        }
    }
}

/// A partition: blocks, log index, log time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Site {
    pub(crate) source: Blocks,
    pub(crate) executor: CollectionExecutor,
    pub(crate) index: u64,
    pub(crate) time: Time,
    pub(crate) limits: TransactionLimits,
}

impl Site {
    pub(crate) fn new(types: Vec<Arc<dyn CollectionType>>) -> Self {
        let mut registry = Registry::new();
        types.into_iter().for_each(|each| registry.register(each).unwrap());
        let time = Time::from_millis(1_000);
        Self { executor: CollectionExecutor::new(registry), time, ..Self::default() }
    }

    /// The context of the next transaction.
    pub(crate) fn context(&self, actions: &[Action]) -> Context {
        let home = actions.first().map_or_else(
            || weald_core::PlacementKey::from_u64(0),
            |action| weald_core::PlacementKey::of(&action.collection),
        );
        let mut unique = [0; 16];
        unique[..8].copy_from_slice(&(self.index + 1).to_le_bytes());
        Context {
            transaction: TransactionId::new(home, unique),
            index: LogIndex(self.index + 1),
            time: self.time,
            limits: self.limits,
            types: self.executor.registry().types(),
        }
    }

    /// Runs one transaction and keeps its blocks. Trouble is returned and leaves all as it was.
    pub(crate) fn try_run(&mut self, actions: &[Action]) -> Result<Executed, weald_core::Halt> {
        let context = self.context(actions);
        let mut overlay = Overlay::new(&self.source);
        let executed = self.executor.execute(&context, actions, &mut overlay)?;
        let commits = match &executed {
            Executed::Done { commits, .. } => commits.clone(),
            Executed::Refused(_) => {
                assert!(overlay.is_clean(), "a refused transaction leaves no trace");
                return Ok(executed);
            }
        };
        let effects = overlay.into_effects(|collection| commits[&collection].revision);
        for effect in effects {
            match effect.after {
                Some(after) => drop(self.source.blocks.insert(effect.id, after)),
                None => drop(self.source.blocks.remove(&effect.id)),
            }
        }
        self.index += 1;
        Ok(executed)
    }

    /// Runs one transaction without trouble.
    pub(crate) fn run(&mut self, actions: &[Action]) -> Result<Vec<Bytes>, Rejection> {
        match self.try_run(actions).unwrap() {
            Executed::Done { answers, .. } => Ok(answers),
            Executed::Refused(rejection) => Err(rejection),
        }
    }

    /// The revision of a collection.
    pub(crate) fn revision(&self, name: &CollectionName) -> Revision {
        let mut reader = crate::SourceReader(&self.source);
        crate::CollectionState::read(&mut reader, name).unwrap().revision
    }
}
