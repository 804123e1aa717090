//! Creating, opening, revisions, policy.

use std::sync::Arc;

use weald_core::{Context, Fault, LogIndex, TypeSet};

use super::*;
use crate::{
    ChainUse, CollectionExecutor, CollectionState, RawDiary, ReadError, Registry, SourceReader,
    TreeType, chain::ChainVerifier, inspect, open,
};

fn diary(text: &str) -> RawDiary {
    RawDiary::new(name(text))
}

#[test]
fn a21_d50_create_open_and_open_or_create_are_different() {
    let mut site = site();
    let missing = Rejection::NoSuchCollection { collection: name("p") };
    assert_eq!(site.run(&[probe("p", "read")]), Err(missing));
    let answers = site.run(&[probe_create("p", CreateMode::Create)]).unwrap();
    assert!(CreateAnswer::decode(&answers[0]).unwrap().is_new);
    let exists = Rejection::AlreadyExists { collection: name("p") };
    assert_eq!(site.run(&[probe_create("p", CreateMode::Create)]), Err(exists));
    let answers = site.run(&[probe_create("p", CreateMode::OpenOrCreate)]).unwrap();
    assert!(!CreateAnswer::decode(&answers[0]).unwrap().is_new);
    let answers = site.run(&[probe_create("q", CreateMode::OpenOrCreate)]).unwrap();
    assert!(CreateAnswer::decode(&answers[0]).unwrap().is_new);
    assert_eq!(site.run(&[probe("p", "add x")]).unwrap()[0], "x");
}

#[test]
fn a21_another_type_or_version_is_refused() {
    let mut site = probed();
    let wrong = diary("p").append(crate::ExpectedVersion::Any, vec!["x".into()]);
    let (expected, found) = (DiaryType::type_name(), "probe".parse().unwrap());
    let refused = Rejection::WrongType { collection: name("p"), expected, found };
    assert_eq!(site.run(&[wrong]), Err(refused.clone()));
    let wrong = diary("p").create(CreateMode::OpenOrCreate, CollectionPolicy::default());
    assert_eq!(site.run(&[wrong]), Err(refused));
    let mut newer = probe_create("n", CreateMode::Create);
    if let ActionBody::Create { version, .. } = &mut newer.body {
        *version = TypeVersion(2);
    }
    assert!(matches!(site.run(&[newer]), Err(Rejection::UnknownType { .. })));
    let mut unknown = probe_create("n", CreateMode::Create);
    unknown.type_name = "nobody".parse().unwrap();
    assert!(matches!(site.run(&[unknown]), Err(Rejection::UnknownType { .. })));
}

#[test]
fn r29_the_log_says_which_types_there_are_and_a_lack_of_code_is_this_members_fault() {
    let site = probed();
    let execute = |executor: &CollectionExecutor, types: TypeSet| {
        let context = Context { types, ..site.context(&[]) };
        let mut overlay = Overlay::new(&site.source);
        executor.execute(&context, &[probe("p", "read")], &mut overlay)
    };
    let registered = site.executor.registry().types();
    let done = execute(&site.executor, registered.clone());
    assert!(matches!(done, Ok(Executed::Done { .. })));
    let (type_name, version) = ("probe".parse().unwrap(), TypeVersion(1));
    let refused = execute(&site.executor, TypeSet::built_in());
    let unknown = Rejection::UnknownType { type_name, version };
    assert_eq!(refused, Ok(Executed::Refused(unknown)), "whatever code there is");
    let without = CollectionExecutor::new(Registry::new());
    let fault = execute(&without, registered);
    assert!(matches!(fault, Err(Halt::Fault(Fault::NoCode { .. }))));
}

#[test]
fn every_partition_knows_the_types_of_this_crate_without_being_told() {
    let mut registry = Registry::new();
    registry.register(Arc::new(TreeType)).unwrap();
    registry.register(Arc::new(DiaryType)).unwrap();
    let built_in = TypeSet::built_in();
    // The third is in the crate of topics.
    let types = registry.types().with("topic".parse().unwrap(), TypeVersion(1));
    assert_eq!(types, built_in);
}

#[test]
fn a26_a44_opening_what_was_never_made_finds_nothing_and_stages_nothing() {
    let site = probed();
    let mut reader = SourceReader(&site.source);
    let type_name = "probe".parse().unwrap();
    let absent = Err(ReadError::NoSuchCollection(name("never")));
    assert_eq!(open(&mut reader, &name("never"), &type_name), absent);
    let header = open(&mut reader, &name("p"), &type_name).unwrap();
    assert_eq!((header.name, header.chain_use), (name("p"), ChainUse::Changes));
    let mut overlay = Overlay::new(&site.source);
    let actions = [probe("never", "read")];
    let executed = site.executor.execute(&site.context(&actions), &actions, &mut overlay);
    assert!(matches!(executed, Ok(Executed::Refused(Rejection::NoSuchCollection { .. }))));
    assert!(overlay.is_clean());
}

#[test]
fn a43_what_cannot_be_read_is_never_taken_for_absent() {
    let site = probed();
    for trouble in [Trouble::Fault, Trouble::NotHere] {
        for at in 0..2 {
            let mut site = site.clone();
            site.source.asked.set(0);
            site.source.trouble.set(Some((at, trouble)));
            let halted = site.try_run(&[probe_create("p", CreateMode::OpenOrCreate)]);
            assert!(halted.is_err(), "{trouble:?} at={at}");
        }
    }
}

#[test]
fn a45_a_header_without_its_state_is_a_fault() {
    let mut site = probed();
    let id = BlockId::state(&name("p"));
    site.source.blocks.remove(&id).unwrap();
    let halted = site.try_run(&[probe("p", "read")]);
    assert_eq!(halted, Err(Halt::Fault(Fault::Missing { id })));
}

#[test]
fn one_transaction_gives_one_revision_however_many_actions() {
    let mut site = probed();
    assert_eq!(site.revision(&name("p")), Revision(1));
    site.run(&[probe("p", "add a"), probe("p", "add b"), probe("p", "add c")]).unwrap();
    assert_eq!(site.revision(&name("p")), Revision(2));
    let actions = [probe_create("q", CreateMode::Create), probe("q", "add x"), probe("p", "add d")];
    assert_eq!(site.run(&actions).unwrap()[2], "abcd");
    assert_eq!((site.revision(&name("p")), site.revision(&name("q"))), (Revision(3), Revision(1)));
}

#[test]
fn what_changes_nothing_raises_no_revision_and_writes_no_block() {
    let mut site = probed();
    let before = site.source.blocks.clone();
    let idle = [
        probe_create("p", CreateMode::OpenOrCreate),
        probe("p", "read"),
        probe("p", "items 0"),
        policy_action("p", CollectionPolicy::default()),
    ];
    let executed = site.try_run(&idle).unwrap();
    assert!(matches!(executed, Executed::Done { commits, .. } if commits.is_empty()));
    assert_eq!(site.source.blocks, before);
    site.run(&[probe("p", "items 3")]).unwrap();
    assert_eq!(site.revision(&name("p")), Revision(2));
}

fn policy_action(text: &str, policy: CollectionPolicy) -> Action {
    Action { body: ActionBody::SetPolicy(policy), ..probe(text, "") }
}

#[test]
fn a28_a_commit_names_the_collections_and_its_effects_include_the_chain() {
    let site = probed();
    let actions = [probe("p", "add x"), probe_create("q", CreateMode::Create)];
    let mut overlay = Overlay::new(&site.source);
    let executed = site.executor.execute(&site.context(&actions), &actions, &mut overlay).unwrap();
    let Executed::Done { commits, .. } = executed else { panic!("refused") };
    let (p, q) = (&commits[&BlockId::header(&name("p"))], &commits[&BlockId::header(&name("q"))]);
    assert_eq!((p.revision, p.created.clone()), (Revision(2), None));
    assert_eq!((q.revision, q.created.clone()), (Revision(1), Some("probe".parse().unwrap())));
    let effects = overlay.into_effects(|id| commits[&id].revision);
    let kinds = |collection: &str| {
        let id = BlockId::header(&name(collection));
        let own = effects.iter().filter_map(|effect| effect.after.as_ref());
        let mut kinds: Vec<u16> = own
            .filter(|after| after.block.collection == id)
            .map(|after| after.block.kind.0)
            .collect();
        kinds.sort_unstable();
        kinds
    };
    let (header, state, chain) = (BlockKind::HEADER.0, BlockKind::STATE.0, BlockKind::CHAIN.0);
    assert_eq!(kinds("p"), vec![state, chain, BlockKind::STRUCTURE_FIRST.0]);
    assert_eq!(kinds("q"), vec![header, state, chain, BlockKind::STRUCTURE_FIRST.0]);
}

#[test]
fn d53_retention_moves_the_floor_to_the_oldest_kept_entry() {
    let mut site = probed();
    let retention = Retention { entries_max: Some(3), ..Retention::ALL };
    let mut floors = Vec::new();
    site.run(&[policy_action("p", CollectionPolicy { retention })]).unwrap();
    for _ in 0..4 {
        match site.try_run(&[probe("p", "add x")]).unwrap() {
            Executed::Done { commits, .. } => floors.extend(commits.values().map(|c| c.floor)),
            Executed::Refused(rejection) => panic!("{rejection}"),
        }
    }
    let index = |n| Some(LogIndex(n));
    assert_eq!(floors, vec![None, index(2), index(3), index(4)]);
    let (header, state) = inspect(&mut SourceReader(&site.source), &name("p")).unwrap();
    assert_eq!(header.policy.retention, retention);
    assert_eq!(state.chain.len(), 3);
    let mut reader = SourceReader(&site.source);
    assert_eq!(ChainVerifier::new(&state.chain).run(&mut reader), Ok(3));
}

#[test]
fn a33_chain_and_cost_stay_bounded_over_many_commits() {
    let mut site = site();
    let retention = Retention { entries_max: Some(500), ..Retention::ALL };
    let diary = diary("d");
    site.run(&[diary.create(CreateMode::Create, CollectionPolicy { retention })]).unwrap();
    let append = diary.append(crate::ExpectedVersion::Any, vec!["an entry".into()]);
    let (mut blocks_max, mut reads_max) = (0, 0);
    for _ in 0..100_000 {
        site.source.asked.set(0);
        site.run(std::slice::from_ref(&append)).unwrap();
        reads_max = reads_max.max(site.source.asked.get());
        blocks_max = blocks_max.max(site.source.blocks.len());
    }
    assert!(blocks_max <= 2 + 500_usize.div_ceil(32) + 1, "blocks={blocks_max}");
    assert!(reads_max <= 8, "reads={reads_max}");
    let mut reader = SourceReader(&site.source);
    let state = CollectionState::read(&mut reader, &name("d")).unwrap();
    assert_eq!((state.chain.next.0, state.chain.len()), (100_000, 500));
    assert_eq!(ChainVerifier::new(&state.chain).run(&mut reader), Ok(500));
}

#[test]
fn a38_the_same_actions_give_the_same_blocks() {
    let script = |site: &mut Site| {
        for n in 0..40 {
            let text = format!("add {n}");
            let _ = site.run(&[probe("p", &text), probe_create("q", CreateMode::OpenOrCreate)]);
            let _ = site.run(&[probe("q", &text), probe("q", "refuse")]);
        }
    };
    let (mut first, mut second) = (probed(), probed());
    script(&mut first);
    script(&mut second);
    assert_eq!(first.source.blocks, second.source.blocks);
    assert_eq!(first.revision(&name("p")), Revision(41));
}
