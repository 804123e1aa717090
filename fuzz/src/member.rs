//! Members of a partition that execute transactions: one that remembers every block, and one that remembers none.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weald_collections::{CollectionExecutor, SourceReader};
use weald_core::{
    Action, BlockEffect, BlockId, BlockRead, BlockSource, Context, Executed, Executor, Fault, Halt,
    Overlay, Rejection, StoredBlock,
};

/// Two members of one partition, whose results and blocks are always the same, or one.
pub(crate) struct Members {
    whole: Member,
    forgetful: Option<Member>,
}

/// A member of a partition. A forgetful one has nothing in memory at the beginning of each transaction.
struct Member {
    executor: &'static CollectionExecutor,
    blocks: BTreeMap<BlockId, Arc<StoredBlock>>,
    is_forgetful: bool,
    loaded: RefCell<BTreeSet<BlockId>>,
}

impl Members {
    /// Members that have no block yet.
    pub(crate) fn new(executor: &'static CollectionExecutor) -> Self {
        let member = |is_forgetful| Member {
            executor,
            blocks: BTreeMap::new(),
            is_forgetful,
            loaded: RefCell::default(),
        };
        Self { whole: member(false), forgetful: Some(member(true)) }
    }

    /// Only the member that remembers: the other takes ten times as long.
    #[must_use]
    pub(crate) fn alone(self) -> Self {
        Self { forgetful: None, ..self }
    }

    /// Executes one transaction at all of them and keeps its effects.
    pub(crate) fn execute(&mut self, context: &Context, actions: &[Action]) -> Executed {
        let (done, effects) = self.whole.execute(context, actions);
        assert!(
            !matches!(done, Executed::Refused(Rejection::Panicked { .. })),
            "a type panicked: {done:?}"
        );
        if let Some(forgetful) = &mut self.forgetful {
            let again = forgetful.execute(context, actions);
            assert!(
                (&done, &effects) == (&again.0, &again.1),
                "two members differ: {done:?} and {:?}",
                again.0
            );
            forgetful.keep(&effects);
        }
        self.whole.keep(&effects);
        done
    }

    /// Reads what is there.
    pub(crate) fn reader(&self) -> SourceReader<'_> {
        SourceReader(&self.whole)
    }
}

impl Member {
    fn execute(&self, context: &Context, actions: &[Action]) -> (Executed, Vec<BlockEffect>) {
        self.loaded.borrow_mut().clear();
        loop {
            let mut overlay = Overlay::new(self);
            match self.executor.execute(context, actions, &mut overlay) {
                Ok(executed) => {
                    let Executed::Done { commits, .. } = &executed else {
                        assert!(overlay.is_clean(), "a refused transaction left something");
                        return (executed, Vec::new());
                    };
                    let effects = overlay.into_effects(|collection| commits[&collection].revision);
                    return (executed, effects);
                }
                Err(Halt::Need(ids)) => {
                    let before = self.loaded.borrow().len();
                    self.loaded.borrow_mut().extend(ids);
                    assert!(self.loaded.borrow().len() > before, "asked again for what was loaded");
                }
                Err(Halt::Fault(fault)) => {
                    panic!("blocks made by actions do not fit together: {fault}")
                }
            }
        }
    }

    fn keep(&mut self, effects: &[BlockEffect]) {
        for effect in effects {
            match &effect.after {
                Some(after) => drop(self.blocks.insert(effect.id, Arc::clone(after))),
                None => drop(self.blocks.remove(&effect.id)),
            }
        }
    }
}

impl BlockSource for Member {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        if self.is_forgetful && !self.loaded.borrow().contains(&id) {
            return Ok(BlockRead::NotHere);
        }
        Ok(self.blocks.get(&id).cloned().map_or(BlockRead::Absent, BlockRead::Present))
    }
}
