//! A state goes from one engine to another in pages, as a whole or not at all.

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{At, BlockRead, BlockSource, Fault, LogIndex, StateStore, StateView};
use weald_storage::{
    engine::Engine,
    state::{InstallError, PAGE_BYTES_MAX, PartitionStore, StateConfig, StateInstall},
};

use crate::{
    crash::CrashEngine,
    world::{Edit, Model, PARTITION, assert_latest, assert_view, commit, id, open, read},
};

const BYTES_MAX: usize = 64 << 20;

/// A state with history, rows, and blocks larger than a page, all of it checkpointed.
fn source() -> (PartitionStore, Model) {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig::default());
    for round in 0..60_u8 {
        let edit = match round % 3 {
            0 => Edit::Put(noise(round, 1_900_000)),
            1 => Edit::Splice(round.into(), 3, vec![round; 40]),
            _ => Edit::Put(vec![round; 100]),
        };
        let number = if round % 3 == 2 { 5 } else { round % 2 };
        let effects = model.next_with_row(&[(number, edit)], round % 7, Some(round));
        store.commit(model.applied(), effects).unwrap();
        if round % 20 == 0 {
            store.checkpoint(store.applied()).unwrap();
        }
    }
    store.checkpoint(store.applied()).unwrap();
    (store, model)
}

/// Bytes that do not compress.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next(&mut state)).collect()
}

fn pages(store: &PartitionStore) -> Vec<Bytes> {
    let mut export = store.export().unwrap();
    std::iter::from_fn(|| export.next_page().unwrap()).collect()
}

fn install(engine: &Arc<CrashEngine>, pages: &[Bytes]) -> Result<LogIndex, InstallError> {
    let mut install = StateInstall::new(PARTITION, BYTES_MAX);
    for page in pages {
        install.take(page)?;
    }
    install.switch(&**engine as &dyn Engine)
}

/// An engine with another state of the partition.
fn target() -> (Arc<CrashEngine>, Model) {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig::default());
    for round in 0..9 {
        commit(&store, &mut model, &[(round % 6, Edit::Put(vec![round; 9]))]);
    }
    store.checkpoint(store.applied()).unwrap();
    (engine, model)
}

#[test]
fn a_state_arrives_with_its_history_in_pages_of_a_mebibyte() {
    let (store, model) = source();
    let pages = pages(&store);
    assert!(pages.len() > 3 && pages.iter().all(|page| page.len() <= PAGE_BYTES_MAX));
    let (engine, _) = target();
    assert_eq!(install(&engine, &pages), Ok(model.applied()));
    let arrived = open(&engine, StateConfig::default());
    assert_latest(&arrived, &model);
    assert_eq!(arrived.digest().unwrap(), store.digest().unwrap());
    for index in 0..=model.applied().0 {
        assert_view(&*arrived.view(At::Index(LogIndex(index))).unwrap(), &model);
    }
    assert_eq!(arrived.verify(|_| true).unwrap().damaged, 0);
}

#[test]
fn an_export_stays_as_it_was_while_the_store_goes_on() {
    let (store, mut model) = source();
    let expected = pages(&store);
    let mut export = store.export().unwrap();
    let mut found = vec![export.next_page().unwrap().unwrap()];
    commit(&store, &mut model, &[(1, Edit::Put(vec![1; 10]))]);
    store.checkpoint(store.applied()).unwrap();
    found.extend(std::iter::from_fn(|| export.next_page().unwrap()));
    assert_eq!(found, expected);
    assert_eq!(export.index().next(), store.checkpointed());
}

#[test]
fn pages_that_are_damaged_lost_repeated_or_of_two_exports_change_nothing() {
    let (store, _) = source();
    let pages = pages(&store);
    let (engine, model) = target();
    let check = |pages: &[Bytes], what: &str| {
        assert!(install(&engine, pages).is_err(), "{what}");
        assert_latest(&open(&engine, StateConfig::default()), &model);
    };
    for at in [0, 20, pages[1].len() - 1] {
        let mut flipped = pages.clone();
        let mut page = flipped[1].to_vec();
        page[at] ^= 1;
        flipped[1] = page.into();
        check(&flipped, "a flipped bit");
    }
    check(&pages[..pages.len() - 1], "no last page");
    check(&[&pages[..1], &pages[2..]].concat(), "a lost page");
    check(&[&pages[..1], &pages[..]].concat(), "a repeated page");
    let (other, mut other_model) = source();
    commit(&other, &mut other_model, &[(5, Edit::Put(vec![9; 9]))]);
    other.checkpoint(other.applied()).unwrap();
    let others = self::pages(&other);
    assert_eq!(others.len(), pages.len());
    let last = pages.len() - 1;
    check(&[&pages[..last], &others[last..]].concat(), "the last page of another export");
    check(&[Bytes::new()], "an empty page");
}

#[test]
fn a_state_over_the_bound_is_refused() {
    let (store, _) = source();
    let mut install = StateInstall::new(PARTITION, PAGE_BYTES_MAX);
    let refused = pages(&store).iter().find_map(|page| install.take(page).err());
    assert!(matches!(refused, Some(InstallError::TooLarge { max: PAGE_BYTES_MAX, .. })));
}

#[test]
fn a_view_of_a_state_that_is_replaced_loads_nothing_of_the_other() {
    let (store, _) = source();
    let pages = pages(&store);
    let (engine, model) = target();
    let old = open(&engine, StateConfig::default());
    let view = old.view(At::Latest).unwrap();
    view.load(&[id(0)]).unwrap();
    old.retire();
    let unloaded = |view: &dyn StateView| matches!(view.load(&[id(3)]), Err(Fault::Storage(_)));
    assert!(unloaded(&*view), "the engine may have another state from here on");
    install(&engine, &pages).unwrap();
    assert!(unloaded(&*view));
    assert_eq!(view.block(id(3)), Ok(BlockRead::NotHere), "and not that there is no such block");
    let held = model.at(model.applied())[&id(0)].clone();
    assert_eq!(read(&*view, id(0)).unwrap().map(|stored| stored.block), Some(held.block));
}
