//! The executor: actions and blocks in, transforms and an outcome out; all or nothing.
//!
//! A transaction gives each collection that it changes one revision. Refusals are results and the
//! same everywhere; what this member lacks is a [`Halt`] and never becomes one. A panic in a
//! collection type is caught and refused without its message.

use std::{collections::BTreeSet, sync::Arc};

use weald_core::{
    Action, BlockId, Context, Executed, Executor, Halt, Overlay, TypeName, TypeVersion,
    limits::{BLOCK_BYTES_MAX, ENTRY_BYTES_MAX, TRANSACTION_ACTIONS_MAX},
};

use crate::{Registry, Stop, scope::too_large};

mod answer;
mod execution;
mod known;
mod opened;
mod record;

pub use answer::CreateAnswer;
pub(crate) use execution::Execution;
use known::Known;
pub(crate) use opened::Opened;
pub use record::{Appended, ChangeRecord};

/// Bytes that a type may note as changed by one transaction on one collection: they stand in one
/// chain entry, which fits a block with room to spare.
pub const CHANGE_NOTES_BYTES_MAX: usize = BLOCK_BYTES_MAX / 2;
/// Bytes of all answers of one transaction.
pub const ANSWERS_BYTES_MAX: usize = ENTRY_BYTES_MAX;
/// Work that is taken back again counts against this multiple of a transaction's caps.
pub(crate) const WORK_FACTOR: usize = 8;

/// Runs actions by the collection types of a [`Registry`].
#[derive(Clone, Debug, Default)]
pub struct CollectionExecutor {
    registry: Registry,
    /// Shared by its copies.
    known: Arc<Known>,
}

impl CollectionExecutor {
    /// An executor over these types.
    pub fn new(registry: Registry) -> Self {
        Self { registry, known: Arc::default() }
    }

    /// The types.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn run(
        &self,
        context: &Context,
        actions: &[Action],
        overlay: &mut Overlay<'_>,
    ) -> Result<Executed, Stop> {
        if actions.len() > TRANSACTION_ACTIONS_MAX {
            return Err(too_large("actions", actions.len(), TRANSACTION_ACTIONS_MAX).into());
        }
        let mut execution = Execution::new(context.clone());
        let mut answers = Vec::with_capacity(actions.len());
        let mut needed = Needed::default();
        for action in actions {
            let savepoint = overlay.savepoint();
            match execution.act(self, overlay, action) {
                Ok(answer) => answers.push(answer),
                Err(stop) => {
                    needed.gather(stop)?;
                    overlay.rollback(savepoint);
                }
            }
        }
        let commits = execution.finish(overlay, &mut needed)?;
        needed.none()?;
        Ok(Executed::Done { answers, commits })
    }
}

impl Executor for CollectionExecutor {
    fn execute(
        &self,
        context: &Context,
        actions: &[Action],
        overlay: &mut Overlay<'_>,
    ) -> Result<Executed, Halt> {
        let savepoint = overlay.savepoint();
        match self.run(context, actions, overlay) {
            Ok(done) => Ok(done),
            Err(Stop::Refused(rejection)) => {
                overlay.rollback(savepoint);
                Ok(Executed::Refused(rejection))
            }
            Err(Stop::Halt(halt)) => Err(halt),
        }
    }

    fn supports(&self, type_name: &TypeName, version: TypeVersion) -> bool {
        self.registry.find(type_name, version).is_some()
    }
}

/// Blocks that are not in memory. Once one is wanted there will be no result; the run goes on only
/// to learn what else is, so that a transaction over many such blocks is not begun again for each.
#[derive(Debug, Default)]
pub(crate) struct Needed(BTreeSet<BlockId>);

impl Needed {
    /// Takes note of `stop`. What comes after the first need may stem from it and says nothing.
    pub(crate) fn gather(&mut self, stop: Stop) -> Result<(), Stop> {
        match stop {
            Stop::Halt(Halt::Need(ids)) => self.0.extend(ids),
            stop if self.0.is_empty() => return Err(stop),
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn none(self) -> Result<(), Halt> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Halt::Need(self.0.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests;
