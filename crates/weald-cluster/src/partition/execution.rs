//! Executing one request: its reads must still hold, its actions run, and the changes that the
//! client computed itself fit what is there.

use std::collections::{BTreeMap, BTreeSet};

use weald_core::{
    Base, BlockEffect, BlockId, BlockKind, BlockSource, Change, CollectionCommit, CollectionName,
    Commit, Context, Executed, Executor, Halt, LogIndex, Outcome, Overlay, OverlayError,
    PartitionId, Position, Rejection, Revision, StoredBlock, Time, TransactionBody, TransactionId,
    TransactionRequest, Transform, TransformError, limits::TransactionLimits,
};

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) partition: PartitionId,
    pub(super) index: LogIndex,
    pub(super) time: Time,
}

/// What execution changes; empty after a refusal.
#[derive(Debug, Default)]
pub(super) struct Execution {
    pub(super) blocks: Vec<BlockEffect>,
    pub(super) floors: BTreeMap<BlockId, LogIndex>,
    pub(super) changed: Vec<(BlockId, Revision)>,
    pub(super) created: Vec<BlockId>,
}

/// Tells who wrote a revision of a collection, where that is known.
pub(super) type Winners<'a> = dyn Fn(BlockId, Revision) -> Option<TransactionId> + 'a;

/// Runs requests at one place in the log.
pub(super) struct Runner<'a> {
    pub(super) place: Place,
    pub(super) limits: TransactionLimits,
    pub(super) executor: &'a dyn Executor,
}

/// Why a request has no effect.
enum Stop {
    Refused(Rejection),
    Halt(Halt),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl Runner<'_> {
    /// The effects and the outcome of `request`.
    pub(super) fn run(
        &self,
        request: &TransactionRequest,
        view: &dyn BlockSource,
        winners: &Winners<'_>,
    ) -> Result<(Execution, Outcome), Halt> {
        match self.execute(request, view, winners) {
            Ok((execution, commit)) => Ok((execution, Outcome::Committed(commit))),
            Err(Stop::Refused(rejection)) => {
                Ok((Execution::default(), Outcome::Rejected(rejection)))
            }
            Err(Stop::Halt(halt)) => Err(halt),
        }
    }

    fn execute(
        &self,
        request: &TransactionRequest,
        view: &dyn BlockSource,
        winners: &Winners<'_>,
    ) -> Result<(Execution, Commit), Stop> {
        let mut overlay = Overlay::new(view);
        check_reads(&request.body, &mut overlay, winners)?;
        let context = Context {
            transaction: request.id,
            index: self.place.index,
            time: self.place.time,
            limits: self.limits,
        };
        let (answers, commits) =
            match self.executor.execute(&context, &request.body.actions, &mut overlay)? {
                Executed::Done { answers, commits } => (answers, commits),
                Executed::Refused(rejection) => return Err(Stop::Refused(rejection)),
            };
        let mut revisions: BTreeMap<BlockId, Revision> =
            commits.iter().map(|(id, commit)| (*id, commit.revision)).collect();
        let mut made = Vec::new();
        if !request.body.transforms.is_empty() {
            let client = ClientChanges { transforms: &request.body.transforms, winners };
            let taken = client.stage(&mut overlay, &revisions)?;
            made.extend(taken.iter().filter(|(_, r)| **r == Revision(1)).map(|(id, _)| *id));
            revisions.extend(taken);
            check_caps(&overlay, &self.limits)?;
        }
        let named: BTreeMap<BlockId, CollectionCommit> = commits;
        let floor = |(id, commit): (&BlockId, &CollectionCommit)| Some((*id, commit.floor?));
        let execution = Execution {
            blocks: overlay.into_effects(|collection| {
                *revisions.get(&collection).expect("a changed collection has a revision")
            }),
            floors: named.iter().filter_map(floor).collect(),
            created: named
                .iter()
                .filter(|(_, commit)| commit.created.is_some())
                .map(|(id, _)| *id)
                .chain(made)
                .collect(),
            changed: revisions.into_iter().collect(),
        };
        let commit = Commit {
            position: Position { partition: self.place.partition, index: self.place.index },
            time: self.place.time,
            revisions: named.into_values().map(|c| (c.name, c.revision)).collect(),
            answers,
        };
        Ok((execution, commit))
    }
}

/// Refuses with `Conflict` when a block is not what the client read.
fn check_reads(
    body: &TransactionBody,
    overlay: &mut Overlay<'_>,
    winners: &Winners<'_>,
) -> Result<(), Stop> {
    let mut needed = Vec::new();
    for read in &body.reads {
        match overlay.read(read.block) {
            Ok(stored) if Base::of(stored.as_deref()) == read.base => {}
            Ok(stored) => return Err(Stop::Refused(conflict(body, stored.as_deref(), winners))),
            Err(Halt::Need(ids)) => needed.extend(ids),
            Err(halt) => return Err(halt.into()),
        }
    }
    if needed.is_empty() { Ok(()) } else { Err(Halt::Need(needed).into()) }
}

/// The refusal of a request that lost to whoever wrote `found`.
fn conflict(
    body: &TransactionBody,
    found: Option<&StoredBlock>,
    winners: &Winners<'_>,
) -> Rejection {
    let winner = found.and_then(|stored| winners(stored.block.collection, stored.revision));
    let collection = found.map_or_else(String::new, |stored| {
        name_of(body, stored.block.collection)
            .map_or_else(|| stored.block.collection.to_string(), |name| name.to_string())
    });
    Rejection::Conflict { collection, winner }
}

fn name_of(body: &TransactionBody, collection: BlockId) -> Option<&CollectionName> {
    let mut names = body.actions.iter().map(|action| &action.collection);
    names.find(|name| BlockId::header(name) == collection)
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
    transforms: &'a [Transform],
    winners: &'a Winners<'a>,
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
        for transform in self.transforms {
            let before = overlay.read(transform.id)?;
            let (collection, kind) = whose(transform, before.as_deref())?;
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
                let body = TransactionBody::default();
                Err(Stop::Refused(conflict(&body, before, self.winners)))
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
