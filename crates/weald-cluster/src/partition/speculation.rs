//! Speculative execution: working out what an entry comes to before it is committed.
//!
//! Executing an entry changes nothing by itself, so whoever has given it its place need not be idle
//! until a majority has it: what it comes to is worked out meanwhile, and taken once it is committed.

use weald_core::{BlockSource, Digest, Entry, Executor, Halt};

use super::{
    Partition,
    execution::Place,
    step::{Applied, Step},
};

/// What the next entry comes to on one state of a partition, and on no other.
#[derive(Debug)]
pub struct Speculation {
    place: Place,
    /// The digest of everything applied before it.
    on: Digest,
    step: Step,
}

impl Partition {
    /// Works out what `entry` comes to if it is the next that is applied to the state that `view`
    /// shows. Nothing changes; to be handed to [`Partition::apply_speculation`] with the commit of this
    /// very entry.
    ///
    /// # Errors
    /// [`Halt`], as [`Partition::apply`].
    pub fn speculate(
        &self,
        entry: &Entry,
        view: &dyn BlockSource,
        executor: &dyn Executor,
    ) -> Result<Speculation, Halt> {
        let (index, time) = (self.applied.next(), self.time.max(entry.time));
        let place = Place { partition: self.id, index, time };
        let dissolved = self.dissolved(place, &entry.payload);
        let step = match self.level_refusal(&entry.payload).or(dissolved) {
            Some(refused) => refused,
            None => self.step(place, &entry.payload, view, executor)?,
        };
        let dissolution = self.dissolution_after(&entry.payload, &step);
        Ok(Speculation { place, on: self.effect_hash, step: Step { dissolution, ..step } })
    }

    /// Applies an entry that was worked out before. `None`, and nothing has changed, when it was on
    /// another state than this: then it is for [`Partition::apply`].
    pub fn apply_speculation(&mut self, speculation: Speculation) -> Option<Applied> {
        let Speculation { place, on, step } = speculation;
        let is_of_this = place.index == self.applied.next() && on == self.effect_hash;
        is_of_this.then(|| self.take(place, step))
    }
}
