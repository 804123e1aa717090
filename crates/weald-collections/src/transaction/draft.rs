//! A transaction in the making.

use bytes::Bytes;
use weald_core::{Action, BlockSource, Context, Overlay, Savepoint, TransactionBody};

use crate::{
    CollectionExecutor, NotedReads, Stop,
    executor::{Execution, Needed},
};

/// Actions run on an overlay that only this draft sees, so that it reads its own writes.
///
/// What is read through [`Draft::reader`] or answered by [`Draft::run`] becomes a dependency of the
/// transaction; what [`Draft::stage`] touches does not, so blind writes never conflict. The members
/// run the actions again when they apply the transaction. After [`Halt::Need`] nothing has
/// happened: load the blocks and call again.
///
/// [`Halt::Need`]: weald_core::Halt::Need
#[derive(Debug)]
pub struct Draft<'s> {
    executor: &'s CollectionExecutor,
    overlay: Overlay<'s>,
    execution: Execution,
    actions: Vec<Action>,
    savepoints: Vec<(DraftSavepoint, Mark)>,
    savepoints_made: u64,
}

/// A point of a [`Draft`] to roll back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DraftSavepoint(u64);

/// A savepoint that an earlier rollback took back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the savepoint was taken back by an earlier rollback")]
pub struct StaleSavepoint;

#[derive(Clone, Debug)]
struct Mark {
    overlay: Savepoint,
    execution: Execution,
    actions: usize,
}

impl<'s> Draft<'s> {
    /// An empty draft over one version of the blocks. `context` gives the transaction's id, which
    /// names new blocks, and stands for the log time and index, which are not known yet.
    pub fn new(
        executor: &'s CollectionExecutor,
        source: &'s dyn BlockSource,
        context: Context,
    ) -> Self {
        Self {
            executor,
            overlay: Overlay::with_reads_noted(source),
            execution: Execution::new(context),
            actions: Vec::new(),
            savepoints: Vec::new(),
            savepoints_made: 0,
        }
    }

    /// Adds an action, blindly: it depends on nothing that it meets.
    ///
    /// # Errors
    /// [`Stop::Refused`] when it would be refused as things stand; the draft is then as before, but
    /// depends on what led to the refusal.
    pub fn stage(&mut self, action: Action) -> Result<(), Stop> {
        match self.try_act(&action, false) {
            Err(Stop::Refused(_)) => self.try_act(&action, true)?,
            result => result?,
        };
        self.actions.push(action);
        Ok(())
    }

    /// Adds an action and tells its answer, on which the transaction then depends.
    ///
    /// # Errors
    /// As [`Draft::stage`].
    pub fn run(&mut self, action: Action) -> Result<Bytes, Stop> {
        let answer = self.try_act(&action, true)?;
        self.actions.push(action);
        Ok(answer)
    }

    /// Reads as this draft sees it; the transaction depends on what is read.
    pub fn reader(&mut self) -> NotedReads<'_, 's> {
        NotedReads(&mut self.overlay)
    }

    /// Marks this point.
    pub fn savepoint(&mut self) -> DraftSavepoint {
        self.savepoints_made += 1;
        let savepoint = DraftSavepoint(self.savepoints_made);
        self.savepoints.push((savepoint, self.mark()));
        savepoint
    }

    /// Takes back everything done since `savepoint`, which stays valid. What was read stays a
    /// dependency: it may have led here.
    ///
    /// # Errors
    /// When an earlier rollback went behind `savepoint`.
    pub fn rollback(&mut self, savepoint: DraftSavepoint) -> Result<(), StaleSavepoint> {
        let found = self.savepoints.iter().position(|(each, _)| *each == savepoint);
        let at = found.ok_or(StaleSavepoint)?;
        self.savepoints.truncate(at + 1);
        let mark = self.savepoints[at].1.clone();
        self.restore(mark);
        Ok(())
    }

    /// The actions so far.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Whether there is nothing to commit.
    pub fn is_read_only(&self) -> bool {
        self.actions.is_empty()
    }

    /// The transaction: what was read, each block once, and the actions.
    pub fn finish(self) -> TransactionBody {
        let reads = self.overlay.noted_reads();
        TransactionBody { reads, actions: self.actions, transforms: Vec::new() }
    }

    /// The transaction with its block changes computed here, for types that the members do not
    /// have. Every changed block then has to be as it was.
    ///
    /// # Errors
    /// [`Stop`] when the changes are too large or blocks are missing.
    pub fn finish_computed(mut self) -> Result<TransactionBody, Stop> {
        let mut needed = Needed::default();
        self.execution.finish(&mut self.overlay, &mut needed)?;
        needed.none()?;
        let (reads, transforms) = (self.overlay.noted_reads(), self.overlay.transforms());
        Ok(TransactionBody { reads, actions: Vec::new(), transforms })
    }

    fn try_act(&mut self, action: &Action, is_noting: bool) -> Result<Bytes, Stop> {
        let mark = self.mark();
        self.execution.note_reads(is_noting);
        let acted = self.execution.act(self.executor, &mut self.overlay, action);
        let acted = acted.and_then(|answer| {
            self.execution.flush(&mut self.overlay)?;
            Ok(answer)
        });
        if acted.is_err() {
            self.restore(mark);
        }
        acted
    }

    fn mark(&self) -> Mark {
        Mark {
            overlay: self.overlay.savepoint(),
            execution: self.execution.clone(),
            actions: self.actions.len(),
        }
    }

    fn restore(&mut self, mark: Mark) {
        self.overlay.rollback(mark.overlay);
        self.execution = mark.execution;
        self.actions.truncate(mark.actions);
    }
}
