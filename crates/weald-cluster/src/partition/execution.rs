//! Executing one request: nothing that it touches may be locked, its reads must still hold, its
//! actions run, and the changes that the client computed itself fit what is there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weald_core::{
    Base, BlockEffect, BlockId, BlockKind, BlockSource, Change, CollectionCommit, CollectionName,
    Commit, Context, Executed, Executor, Halt, LogIndex, Outcome, Overlay, OverlayError,
    PartitionId, Position, ReadDependency, Rejection, Revision, Settings, StoredBlock, Time,
    TransactionBody, TransactionId, Transform, TransformError, limits::TransactionLimits,
};

use super::{
    locks::{Intent, Locks, Part, Terms, Told},
    results::Results,
};

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) partition: PartitionId,
    pub(super) index: LogIndex,
    pub(super) time: Time,
}

impl Place {
    pub(super) fn position(&self) -> Position {
        Position { partition: self.partition, index: self.index }
    }
}

/// What execution changes; empty after a refusal.
#[derive(Debug, Default)]
pub(super) struct Execution {
    pub(super) blocks: Vec<BlockEffect>,
    pub(super) floors: BTreeMap<BlockId, LogIndex>,
    pub(super) changed: Vec<(BlockId, Revision)>,
    pub(super) created: Vec<BlockId>,
}

/// Runs requests at one place in the log.
pub(super) struct Runner<'a> {
    pub(super) place: Place,
    pub(super) settings: &'a Settings,
    pub(super) executor: &'a dyn Executor,
    pub(super) results: &'a Results,
    pub(super) locks: &'a Locks,
}

/// One transaction's work in this partition.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) id: TransactionId,
    pub(super) body: &'a TransactionBody,
    /// Blocks to hold besides.
    pub(super) marks: &'a [BlockId],
}

/// Why a request has no effect.
pub(super) enum Stop {
    Refused(Rejection),
    Halt(Halt),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// What was executed and is not yet taken.
struct Staged<'s> {
    overlay: Overlay<'s>,
    answers: Vec<Bytes>,
    /// Changed by actions.
    commits: BTreeMap<BlockId, CollectionCommit>,
    /// Everything that is changed.
    revisions: BTreeMap<BlockId, Revision>,
    created: Vec<BlockId>,
}

impl Runner<'_> {
    /// The effects and the outcome of `job`.
    pub(super) fn run(
        &self,
        job: Job<'_>,
        view: &dyn BlockSource,
    ) -> Result<(Execution, Outcome), Halt> {
        match self.stage(job, view) {
            Ok(staged) => {
                let (execution, commit) = staged.finish(self.place);
                Ok((execution, Outcome::Committed(commit)))
            }
            Err(Stop::Refused(rejection)) => {
                Ok((Execution::default(), Outcome::Rejected(rejection)))
            }
            Err(Stop::Halt(halt)) => Err(halt),
        }
    }

    /// The part that `job` comes to under these terms.
    pub(super) fn pend(
        &self,
        job: Job<'_>,
        terms: Terms,
        view: &dyn BlockSource,
    ) -> Result<Part, Stop> {
        self.stage(job, view).and_then(|mut staged| staged.take_part(job, terms))
    }

    fn stage<'s>(&self, job: Job<'_>, view: &'s dyn BlockSource) -> Result<Staged<'s>, Stop> {
        let body = job.body;
        let mut overlay = Overlay::new(view);
        // Most of the time nothing is locked, and no ids need be made of names.
        let named = if self.locks.has_no_locks() { &[][..] } else { &body.actions };
        for action in named {
            self.check_unlocked(body, BlockId::header(&action.collection))?;
        }
        self.check_reads(body, &mut overlay)?;
        for block in job.marks {
            let stored = overlay.read(*block)?;
            self.check_seen(body, *block, stored.as_deref())?;
        }
        let context = Context {
            transaction: job.id,
            index: self.place.index,
            time: self.place.time,
            limits: self.settings.limits.transaction(),
            types: self.settings.types.clone(),
        };
        let (answers, commits) =
            match self.executor.execute(&context, &body.actions, &mut overlay)? {
                Executed::Done { answers, commits } => (answers, commits),
                Executed::Refused(rejection) => return Err(Stop::Refused(rejection)),
            };
        let mut revisions: BTreeMap<BlockId, Revision> =
            commits.iter().map(|(id, commit)| (*id, commit.revision)).collect();
        let mut created: Vec<BlockId> =
            commits.iter().filter(|(_, c)| c.created.is_some()).map(|(id, _)| *id).collect();
        if !body.transforms.is_empty() {
            let client = ClientChanges { runner: self, body };
            let taken = client.stage(&mut overlay, &revisions)?;
            created.extend(taken.iter().filter(|(_, r)| **r == Revision(1)).map(|(id, _)| *id));
            revisions.extend(taken);
            check_caps(&overlay, &context.limits)?;
        }
        self.check_unmarked(job, &overlay)?;
        Ok(Staged { overlay, answers, commits, revisions, created })
    }

    /// Refuses with `Conflict` when a block is not what the client read.
    fn check_reads(&self, body: &TransactionBody, overlay: &mut Overlay<'_>) -> Result<(), Stop> {
        let mut needed = Vec::new();
        for read in &body.reads {
            match overlay.read(read.block) {
                Ok(stored) => self.check_read(body, read, stored.as_deref())?,
                Err(Halt::Need(ids)) => needed.extend(ids),
                Err(halt) => return Err(halt.into()),
            }
        }
        if needed.is_empty() { Ok(()) } else { Err(Halt::Need(needed).into()) }
    }

    fn check_read(
        &self,
        body: &TransactionBody,
        read: &ReadDependency,
        stored: Option<&StoredBlock>,
    ) -> Result<(), Stop> {
        self.check_seen(body, read.block, stored)?;
        if Base::of(stored) == read.base {
            return Ok(());
        }
        Err(Stop::Refused(self.conflict(body, stored)))
    }

    /// Refuses to look at a block that somebody else will change or make.
    fn check_seen(
        &self,
        body: &TransactionBody,
        block: BlockId,
        stored: Option<&StoredBlock>,
    ) -> Result<(), Stop> {
        match stored {
            Some(stored) => self.check_unlocked(body, stored.block.collection),
            None => match self.locks.maker(block) {
                Some(holder) => Err(locked(body, block, holder)),
                None => Ok(()),
            },
        }
    }

    fn check_unlocked(&self, body: &TransactionBody, collection: BlockId) -> Result<(), Stop> {
        match self.locks.lock(&collection) {
            None => Ok(()),
            Some(lock) => Err(locked(body, collection, lock.holder.id)),
        }
    }

    /// Refuses to change a block that somebody else has read and still holds.
    fn check_unmarked(&self, job: Job<'_>, overlay: &Overlay<'_>) -> Result<(), Stop> {
        if self.locks.has_no_marks() {
            return Ok(());
        }
        for block in overlay.changed_ids() {
            if let Some(holder) = self.locks.marker(block, job.id) {
                let collection = overlay.changed_collection(block).unwrap_or(block);
                return Err(locked(job.body, collection, holder));
            }
        }
        Ok(())
    }

    /// The refusal of a request that lost to whoever wrote `found`.
    fn conflict(&self, body: &TransactionBody, found: Option<&StoredBlock>) -> Rejection {
        let winner = found.and_then(|stored| {
            let (collection, revision) = (stored.block.collection, stored.revision);
            let here = self.results.winner(collection, revision);
            here.or_else(|| self.locks.winner(collection, revision))
        });
        let collection =
            found.map_or_else(String::new, |stored| text_of(body, stored.block.collection));
        Rejection::Conflict { collection, winner }
    }
}

impl Staged<'_> {
    fn finish(self, place: Place) -> (Execution, Commit) {
        let Self { overlay, answers, commits, revisions, created } = self;
        let floor = |(id, commit): (&BlockId, &CollectionCommit)| Some((*id, commit.floor?));
        let execution = Execution {
            blocks: overlay.into_effects(|collection| {
                *revisions.get(&collection).expect("a changed collection has a revision")
            }),
            floors: commits.iter().filter_map(floor).collect(),
            created,
            changed: revisions.into_iter().collect(),
        };
        let commit = Commit {
            position: place.position(),
            time: place.time,
            revisions: commits.into_values().map(|c| (c.name, c.revision)).collect(),
            answers,
        };
        (execution, commit)
    }

    /// Everything as a part that waits. What the actions looked at in collections that they did not
    /// change is held through the state blocks, which every change of a collection writes.
    fn take_part(&mut self, job: Job<'_>, terms: Terms) -> Result<Part, Stop> {
        let mut intents: BTreeMap<BlockId, Intent> = BTreeMap::new();
        for transform in self.overlay.transforms() {
            let collection = self.overlay.changed_collection(transform.id);
            let collection = collection.expect("a changed block is or was somebody's");
            let intent = intents.entry(collection).or_insert_with(|| Intent {
                revision: *self.revisions.get(&collection).expect("it has a revision"),
                floor: self.commits.get(&collection).and_then(|commit| commit.floor),
                is_new: self.created.contains(&collection),
                transforms: Vec::new(),
            });
            intent.transforms.push(transform);
        }
        let marks = self.marks(job)?;
        let revisions = self.commits.values().map(|c| (c.name.clone(), c.revision)).collect();
        let told = Told { answers: std::mem::take(&mut self.answers), revisions };
        Ok(Part { terms, told, intents, marks })
    }

    fn marks(&mut self, job: Job<'_>) -> Result<BTreeSet<BlockId>, Stop> {
        let looked_at = job.body.actions.iter().map(|action| &action.collection);
        let only_read =
            |name: &&CollectionName| !self.revisions.contains_key(&BlockId::header(name));
        let states: Vec<BlockId> = looked_at.filter(only_read).map(BlockId::state).collect();
        let reads = job.body.reads.iter().map(|read| read.block);
        let mut marks = BTreeSet::new();
        for block in reads.chain(job.marks.iter().copied()).chain(states) {
            let stored = self.overlay.read(block)?;
            let is_own = match &stored {
                Some(stored) => self.revisions.contains_key(&stored.block.collection),
                None => self.overlay.changed_collection(block).is_some(),
            };
            if !is_own {
                marks.insert(block);
            }
        }
        Ok(marks)
    }
}

/// What a part changes now that it is committed. Its bases hold: its locks have kept others away.
pub(super) fn carry_out(part: &Part, view: &dyn BlockSource) -> Result<Execution, Halt> {
    let mut overlay = Overlay::new(view);
    let mut needed = Vec::new();
    let transforms = || part.intents.values().flat_map(|intent| &intent.transforms);
    for transform in transforms() {
        match overlay.read(transform.id) {
            Ok(_) => {}
            Err(Halt::Need(ids)) => needed.extend(ids),
            Err(halt) => return Err(halt),
        }
    }
    if !needed.is_empty() {
        return Err(Halt::Need(needed));
    }
    for transform in transforms() {
        overlay.apply(transform)?;
    }
    let floor = |(id, intent): (&BlockId, &Intent)| Some((*id, intent.floor?));
    Ok(Execution {
        blocks: overlay.into_effects(|collection| {
            part.intents.get(&collection).expect("a changed collection has an intent").revision
        }),
        floors: part.intents.iter().filter_map(floor).collect(),
        changed: part.changed(),
        created: part.intents.iter().filter(|(_, i)| i.is_new).map(|(id, _)| *id).collect(),
    })
}

fn locked(body: &TransactionBody, collection: BlockId, holder: TransactionId) -> Stop {
    Stop::Refused(Rejection::Locked { collection: text_of(body, collection), holder })
}

/// A collection by its name, if the request names it.
fn text_of(body: &TransactionBody, collection: BlockId) -> String {
    let mut names = body.actions.iter().map(|action| &action.collection);
    let name = names.find(|name| BlockId::header(name) == collection);
    name.map_or_else(|| collection.to_string(), CollectionName::to_string)
}

fn check_caps(overlay: &Overlay<'_>, limits: &TransactionLimits) -> Result<(), Stop> {
    let check = |what: &str, actual: usize, max: usize| {
        let wide = |n| u64::try_from(n).unwrap_or(u64::MAX);
        let refused = || {
            let (what, actual, max) = (what.to_owned(), wide(actual), wide(max));
            Stop::Refused(Rejection::TooLarge { what, actual, max })
        };
        if actual <= max { Ok(()) } else { Err(refused()) }
    };
    check("blocks", overlay.changed_count(), limits.blocks_max)?;
    check("bytes", overlay.changed_bytes(), limits.bytes_max)
}

/// Changes that a client computed itself. They must carry each collection's state block, which
/// counts its revisions: that is how two clients' changes to one collection meet.
struct ClientChanges<'a> {
    runner: &'a Runner<'a>,
    body: &'a TransactionBody,
}

impl ClientChanges<'_> {
    /// Stages the changes and returns the revision that each collection has through them.
    fn stage(
        &self,
        overlay: &mut Overlay<'_>,
        taken: &BTreeMap<BlockId, Revision>,
    ) -> Result<BTreeMap<BlockId, Revision>, Stop> {
        let mut touched = BTreeSet::new();
        let mut revisions = BTreeMap::new();
        for transform in &self.body.transforms {
            let before = overlay.read(transform.id)?;
            self.runner.check_seen(self.body, transform.id, before.as_deref())?;
            let (collection, kind) = whose(transform, before.as_deref())?;
            self.runner.check_unlocked(self.body, collection)?;
            if taken.contains_key(&collection) {
                return Err(invalid("actions and own changes on one collection"));
            }
            self.apply(overlay, transform, before.as_deref())?;
            touched.insert(collection);
            if kind == BlockKind::STATE {
                let last = before.map_or(Revision::ZERO, |stored| stored.revision);
                revisions.insert(collection, last.next());
            }
        }
        if touched.iter().any(|collection| !revisions.contains_key(collection)) {
            return Err(invalid("own changes without the collection's state block"));
        }
        Ok(revisions)
    }

    fn apply(
        &self,
        overlay: &mut Overlay<'_>,
        transform: &Transform,
        before: Option<&StoredBlock>,
    ) -> Result<(), Stop> {
        match overlay.apply(transform) {
            Ok(()) => Ok(()),
            Err(OverlayError::Transform(TransformError::BaseMismatch { .. })) => {
                Err(Stop::Refused(self.runner.conflict(&TransactionBody::default(), before)))
            }
            Err(OverlayError::Halt(halt)) => Err(halt.into()),
            Err(error) => Err(invalid(&error.to_string())),
        }
    }
}

/// The collection and the kind of the block that `transform` changes. A block never changes hands.
fn whose(
    transform: &Transform,
    before: Option<&StoredBlock>,
) -> Result<(BlockId, BlockKind), Stop> {
    let owner = |stored: &StoredBlock| (stored.block.collection, stored.block.kind);
    match (&transform.change, before) {
        (Change::Insert(block), None) => {
            if block.collection.placement() != block.id.placement() {
                return Err(invalid("a block placed apart from its collection"));
            }
            Ok((block.collection, block.kind))
        }
        (Change::Insert(block), Some(stored)) if owner(stored).0 != block.collection => {
            Err(invalid("a block of another collection"))
        }
        (_, Some(stored)) => Ok(owner(stored)),
        (_, None) => {
            Err(Stop::Refused(Rejection::Conflict { collection: String::new(), winner: None }))
        }
    }
}

fn invalid(detail: &str) -> Stop {
    Stop::Refused(Rejection::Invalid { detail: detail.to_owned() })
}
