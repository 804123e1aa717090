//! A draft reads its own writes and depends on what was read.

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{
    Action, ActionBody, Base, BlockId, CollectionChange, CollectionName, CollectionPolicy,
    CreateMode, Halt, Overlay, ReadDependency, Rejection, Sequence, TransactionBody, TypeName,
    TypeVersion,
};

use crate::{
    BlockReader, BlockWriter, CollectionType, Diary, DiaryType, ExpectedVersion, RawDiary,
    ReadError, Resolution, Scope, SourceReader, Stop,
    chain::ReadLimit,
    testing::{Site, Trouble},
    transaction::{Draft, StaleSavepoint, resolve_conflict},
};

fn name(text: &str) -> CollectionName {
    text.parse().unwrap()
}

fn numbers() -> Diary<u64> {
    Diary::new(name("d"))
}

fn append(n: u64) -> Action {
    numbers().append(ExpectedVersion::Any, &n)
}

/// A site with the diary `d` of 1 and 2.
fn site() -> Site {
    let mut site = Site::new(vec![Arc::new(DiaryType), Arc::new(Sum)]);
    site.run(&[numbers().raw().create(CreateMode::Create, CollectionPolicy::default())]).unwrap();
    site.run(&[append(1), append(2)]).unwrap();
    site
}

fn draft(site: &Site) -> Draft<'_> {
    Draft::new(&site.executor, &site.source, site.context(&[append(0)]))
}

fn read<R: BlockReader>(reader: &mut R) -> Vec<u64> {
    let read = numbers().read(reader, Sequence(0), ReadLimit::entries(usize::MAX)).unwrap();
    read.into_iter().map(|entry| entry.entry).collect()
}

/// Applies a body as a partition does: the reads must hold.
fn commit(site: &mut Site, body: &TransactionBody) -> Result<Vec<Bytes>, ReadDependency> {
    let mut overlay = Overlay::new(&site.source);
    for read in &body.reads {
        let now = overlay.read(read.block).unwrap();
        if Base::of(now.as_deref()) != read.base {
            return Err(*read);
        }
    }
    Ok(site.run(&body.actions).unwrap())
}

#[test]
fn a42_a_draft_reads_its_own_writes_and_leaves_the_store_alone() {
    let mut site = site();
    let before = site.source.blocks.clone();
    let mut draft = draft(&site);
    assert_eq!(read(&mut draft.reader()), vec![1, 2]);
    for n in 3..50 {
        draft.stage(append(n)).unwrap();
        assert_eq!(numbers().last(&mut draft.reader()).unwrap().unwrap().entry, n);
    }
    let limit = ReadLimit::entries(usize::MAX);
    let back = numbers().read_back(&mut draft.reader(), None, limit).unwrap();
    assert!(back.iter().map(|entry| entry.entry).eq((1..50).rev()));
    assert_eq!(site.source.blocks, before);
    let body = draft.finish();
    commit(&mut site, &body).unwrap();
    assert_eq!(read(&mut SourceReader(&site.source)), (1..50).collect::<Vec<_>>());
}

#[test]
fn a31_only_what_was_looked_at_becomes_a_dependency() {
    let site = site();
    let mut blind = draft(&site);
    blind.stage(append(3)).unwrap();
    assert_eq!(blind.finish().reads, vec![]);
    let mut looking = draft(&site);
    looking.run(append(3)).unwrap();
    let state = BlockId::state(&name("d"));
    assert!(looking.finish().reads.iter().any(|read| read.block == state));
    // That something is absent is a dependency, which differs from none.
    let mut absent = draft(&site);
    let never = RawDiary::new(name("never"));
    let answer = never.len(&mut absent.reader());
    assert!(matches!(answer, Err(ReadError::NoSuchCollection(_))));
    let block = BlockId::header(&name("never"));
    let body = absent.finish();
    assert_eq!(body.reads, vec![ReadDependency { block, base: Base::Absent }]);
    let kind = weald_core::codec::Kind::BODY;
    let bytes = weald_core::codec::encode(kind, &body);
    assert_eq!(weald_core::codec::decode::<TransactionBody>(kind, &bytes).unwrap(), body);
}

#[test]
fn a40_each_block_is_one_dependency_at_the_revision_that_was_read() {
    let site = site();
    let mut draft = draft(&site);
    for _ in 0..5 {
        read(&mut draft.reader());
        draft.stage(append(9)).unwrap();
    }
    let reads = draft.finish().reads;
    let mut blocks: Vec<BlockId> = reads.iter().map(|read| read.block).collect();
    blocks.dedup();
    assert_eq!(blocks.len(), reads.len());
    for read in &reads {
        let stored = site.source.blocks.get(&read.block).unwrap();
        assert_eq!(read.base, Base::At(stored.revision));
    }
}

#[test]
fn a31_what_others_may_make_stays_a_dependency_when_the_draft_makes_it() {
    let mut site = site();
    let fresh: Diary<u64> = Diary::new(name("fresh"));
    let create = fresh.raw().create(CreateMode::OpenOrCreate, CollectionPolicy::default());
    let mut draft = draft(&site);
    draft.stage(create.clone()).unwrap();
    assert_eq!(fresh.last(&mut draft.reader()).unwrap(), None);
    let body = draft.finish();
    site.run(&[create, fresh.append(ExpectedVersion::Any, &7)]).unwrap();
    assert!(commit(&mut site, &body).is_err(), "the emptiness that was read is gone");
}

#[test]
fn a35_rolling_back_to_a_savepoint_takes_back_what_came_after() {
    let site = site();
    let mut draft = draft(&site);
    draft.stage(append(3)).unwrap();
    let outer = draft.savepoint();
    draft.stage(append(4)).unwrap();
    let inner = draft.savepoint();
    draft.stage(append(5)).unwrap();
    draft.rollback(inner).unwrap();
    assert_eq!(read(&mut draft.reader()), vec![1, 2, 3, 4]);
    draft.stage(append(6)).unwrap();
    draft.rollback(outer).unwrap();
    assert_eq!(draft.rollback(inner), Err(StaleSavepoint));
    draft.stage(append(7)).unwrap();
    draft.rollback(outer).unwrap();
    draft.stage(append(8)).unwrap();
    assert_eq!(read(&mut draft.reader()), vec![1, 2, 3, 8]);
    assert_eq!(draft.actions(), &[append(3), append(8)]);
}

#[test]
fn a48_after_a_rollback_a_new_draft_sees_what_others_committed() {
    let mut site = site();
    let old = site.clone();
    let mut local = draft(&old);
    let start = local.savepoint();
    local.stage(append(100)).unwrap();
    assert_eq!(read(&mut local.reader()), vec![1, 2, 100]);
    site.run(&[append(3)]).unwrap();
    local.rollback(start).unwrap();
    assert_eq!(read(&mut local.reader()), vec![1, 2], "one draft sees one version");
    assert!(commit(&mut site, &local.finish()).is_err());
    assert_eq!(read(&mut draft(&site).reader()), vec![1, 2, 3]);
}

#[test]
fn a49_a_loser_that_runs_again_appends_behind_the_winner() {
    let mut site = site();
    let stale = site.clone();
    let closure = |draft: &mut Draft<'_>| {
        let sum: u64 = read(&mut draft.reader()).iter().sum();
        draft.stage(append(sum)).unwrap();
    };
    let mut lost = draft(&stale);
    closure(&mut lost);
    site.run(&[append(10)]).unwrap();
    assert!(commit(&mut site, &lost.finish()).is_err());
    let rerun = {
        let mut draft = draft(&site);
        closure(&mut draft);
        draft.finish()
    };
    commit(&mut site, &rerun).unwrap();
    assert_eq!(read(&mut SourceReader(&site.source)), vec![1, 2, 10, 13]);
}

#[test]
fn a_refused_action_leaves_the_draft_usable_and_dependent_on_the_refusal() {
    let site = site();
    let mut draft = draft(&site);
    draft.stage(append(3)).unwrap();
    let wrong = numbers().append(ExpectedVersion::Empty, &9);
    let refused = draft.stage(wrong.clone());
    assert!(matches!(refused, Err(Stop::Refused(Rejection::Expectation { .. }))));
    assert!(draft.run(wrong).is_err());
    draft.stage(append(4)).unwrap();
    let body = draft.finish();
    assert_eq!(body.actions, vec![append(3), append(4)]);
    assert!(body.reads.iter().any(|read| read.block == BlockId::state(&name("d"))));
}

#[test]
fn a_draft_that_met_absent_memory_goes_on_after_loading() {
    let site = site();
    let mut expected = draft(&site);
    expected.stage(append(3)).unwrap();
    site.source.asked.set(0);
    let mut draft = draft(&site);
    let mut halts = 0;
    // Every second question meets trouble, so that each block is asked for twice.
    for at in (0..100).step_by(2) {
        site.source.trouble.set(Some((at, Trouble::NotHere)));
        match draft.stage(append(3)) {
            Ok(()) => break,
            Err(Stop::Halt(Halt::Need(ids))) => assert_eq!(ids.len(), 1),
            Err(stop) => panic!("{stop}"),
        }
        halts += 1;
        assert!(draft.is_read_only());
    }
    assert!((2..20).contains(&halts), "halts={halts}");
    site.source.trouble.set(None);
    assert_eq!(read(&mut draft.reader()), vec![1, 2, 3]);
    assert_eq!(draft.actions(), expected.actions());
}

#[test]
fn computed_transforms_carry_the_changes_and_their_bases() {
    let mut site = site();
    let stale = site.clone();
    let mut computed = draft(&stale);
    computed.stage(append(3)).unwrap();
    let body = computed.finish_computed().unwrap();
    assert!(body.actions.is_empty() && !body.transforms.is_empty());
    let mut overlay = Overlay::new(&site.source);
    body.transforms.iter().for_each(|transform| overlay.apply(transform).unwrap());
    struct Staged<'a, 's>(&'a mut Overlay<'s>);
    impl BlockReader for Staged<'_, '_> {
        fn read(&mut self, id: BlockId) -> Result<Option<Arc<weald_core::StoredBlock>>, Halt> {
            self.0.read(id)
        }
    }
    assert_eq!(read(&mut Staged(&mut overlay)), vec![1, 2, 3]);
    site.run(&[append(4)]).unwrap();
    let mut overlay = Overlay::new(&site.source);
    let applied: Result<Vec<()>, _> =
        body.transforms.iter().map(|transform| overlay.apply(transform)).collect();
    assert!(applied.is_err(), "another base is refused");
}

/// A sum; on a conflict it drops zeros and replaces what it knows better.
struct Sum;

const CELL: weald_core::BlockKind = weald_core::BlockKind::STRUCTURE_FIRST;

impl CollectionType for Sum {
    fn name(&self) -> TypeName {
        "sum".parse().unwrap()
    }

    fn version(&self) -> TypeVersion {
        TypeVersion(1)
    }

    fn create(&self, scope: &mut Scope<'_, '_>, _: &[u8]) -> Result<Bytes, Stop> {
        let cell = scope.insert(CELL, Bytes::from_static(&[0]))?;
        Ok(Bytes::copy_from_slice(&cell.to_bytes()))
    }

    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop> {
        let cell = BlockId::from_bytes(scope.header().root[..].try_into().unwrap());
        let sum = scope.expect(cell, CELL)?.block.payload[0] + operation[0];
        scope.replace(cell, CELL, vec![sum].into())?;
        scope.note_change(Bytes::copy_from_slice(operation));
        Ok(vec![sum].into())
    }

    fn resolve_conflict(&self, operation: &[u8], committed: &[CollectionChange]) -> Resolution {
        match operation[0] {
            0 => Resolution::Drop,
            9 => Resolution::Replace(vec![u8::try_from(committed.len()).unwrap()].into()),
            _ => Resolution::Keep,
        }
    }
}

fn sum(n: u8) -> Action {
    let body = ActionBody::Apply(vec![n].into());
    Action { collection: name("s"), type_name: Sum.name(), body }
}

#[test]
fn a47_a_loser_is_kept_dropped_or_replaced_and_the_replacement_takes_effect() {
    let mut site = site();
    let (version, policy, options) = (TypeVersion(1), CollectionPolicy::default(), Bytes::new());
    let mode = CreateMode::Create;
    let create = ActionBody::Create { mode, version, policy, options };
    site.run(&[Action { body: create, ..sum(0) }]).unwrap();
    let lost = vec![sum(0), sum(5), sum(9), append(3)];
    let change = |_: &CollectionName| {
        let transaction = site.context(&[]).transaction;
        let (revision, time, detail) = (weald_core::Revision(2), site.time, Bytes::new());
        vec![CollectionChange { revision, transaction, time, detail }; 3]
    };
    let kept = resolve_conflict(site.executor.registry(), lost, change);
    assert_eq!(kept, vec![sum(5), sum(3), append(3)]);
    let answers = site.run(&kept).unwrap();
    assert_eq!(answers[1], vec![8]);
}

#[test]
fn a55_counters_by_retried_reads_lose_nothing_and_blind_writes_conflict_with_nothing() {
    let mut site = site();
    let counter: Diary<u64> = Diary::new(name("n"));
    site.run(&[counter.raw().create(CreateMode::Create, CollectionPolicy::default())]).unwrap();
    let (mut runs, mut done) = (0, [0_u32; 4]);
    while done.iter().any(|&count| count < 25) {
        // Every client reads the same version; the first to commit wins the round.
        let view = site.clone();
        for client in done.iter_mut().filter(|count| **count < 25) {
            let mut draft = draft(&view);
            let value = counter.last(&mut draft.reader()).unwrap().map_or(0, |last| last.entry);
            draft.stage(counter.append(ExpectedVersion::Any, &(value + 1))).unwrap();
            runs += 1;
            if commit(&mut site, &draft.finish()).is_ok() {
                *client += 1;
            }
        }
    }
    let last = counter.last(&mut SourceReader(&site.source)).unwrap().unwrap();
    assert_eq!((last.entry, last.sequence), (100, Sequence(99)));
    assert!(runs > 100, "some runs lost");
}

#[test]
fn answered_puts_on_a_tree_do_not_depend_on_its_count() {
    let mut site = Site::new(vec![Arc::new(crate::TreeType)]);
    let tree = crate::RawTree::new(name("t"));
    let options = crate::tree::TreeOptions::default();
    let create = tree.create(CreateMode::Create, CollectionPolicy::default(), &options);
    site.run(&[create, tree.put("a", "1")]).unwrap();
    let mut draft = draft(&site);
    draft.run(tree.put("b", "2")).unwrap();
    let reads = draft.finish().reads;
    let touches = |id| reads.iter().any(|read| read.block == id);
    assert!(touches(BlockId::header(&name("t"))));
    assert!(!touches(BlockId::state(&name("t"))));
}
