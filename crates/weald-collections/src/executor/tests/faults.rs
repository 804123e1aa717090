//! Refusals, panics and halts leave no trace, and a halt never becomes a result.

use super::*;

#[test]
fn d5_a_refused_action_takes_back_the_whole_transaction() {
    let mut site = probed();
    site.run(&[probe("p", "add kept")]).unwrap();
    let before = site.source.blocks.clone();
    for bad in ["refuse", "panic", "nonsense", "foreign p2", "append"] {
        site.run(&[probe_create("p2", CreateMode::OpenOrCreate)]).unwrap();
        let before_two = site.source.blocks.clone();
        let actions = [
            probe("p", "add one"),
            probe("p", "items 5"),
            probe_create("new", CreateMode::Create),
            probe("p", bad),
            probe("p", "add two"),
        ];
        assert!(site.run(&actions).is_err(), "{bad}");
        assert_eq!(site.source.blocks, before_two, "{bad}");
    }
    assert_eq!(site.run(&[probe("p", "read")]).unwrap()[0], "kept");
    assert!(before.iter().all(|(id, block)| site.source.blocks.get(id) == Some(block)));
}

#[test]
fn a_panic_is_refused_without_its_message_and_nothing_of_it_leaks() {
    let mut site = probed();
    let type_name: weald_core::TypeName = "probe".parse().unwrap();
    let panicked = Rejection::Panicked { type_name };
    assert_eq!(site.run(&[probe("p", "panic")]), Err(panicked.clone()));
    let mut create = probe_create("q", CreateMode::Create);
    if let ActionBody::Create { options, .. } = &mut create.body {
        *options = "panic".into();
    }
    assert_eq!(site.run(&[create]), Err(panicked));
    // The same overlay is of use after the panic.
    let actions = [probe("p", "add x")];
    let mut overlay = Overlay::new(&site.source);
    let context = site.context(&actions);
    site.executor.execute(&context, &[probe("p", "panic")], &mut overlay).unwrap();
    assert!(overlay.is_clean());
    site.executor.execute(&context, &actions, &mut overlay).unwrap();
    let mut fresh = Overlay::new(&site.source);
    site.executor.execute(&context, &actions, &mut fresh).unwrap();
    assert_eq!(overlay.transforms(), fresh.transforms());
}

/// The question at which the root of `p` is asked for by a single action.
fn questions(site: &Site, operation: &str) -> usize {
    site.source.asked.set(0);
    let actions = [probe("p", operation)];
    let mut overlay = Overlay::new(&site.source);
    site.executor.execute(&site.context(&actions), &actions, &mut overlay).unwrap();
    site.source.asked.get()
}

#[test]
fn a_halt_that_a_type_ignores_or_panics_over_stays_a_halt() {
    for operation in ["swallow", "unwrap", "swallow-missing"] {
        let mut site = probed();
        site.run(&[probe("p", "read")]).unwrap();
        if operation != "swallow-missing" {
            let asked = questions(&site, operation);
            for trouble in [Trouble::Fault, Trouble::NotHere] {
                for at in 0..asked {
                    site.source.asked.set(0);
                    site.source.trouble.set(Some((at, trouble)));
                    assert!(site.try_run(&[probe("p", operation)]).is_err(), "{operation} {at}");
                }
            }
            site.source.trouble.set(None);
            assert!(site.try_run(&[probe("p", operation)]).is_ok());
        } else {
            assert!(site.try_run(&[probe("p", operation)]).is_err());
        }
    }
}

#[test]
fn d5_trouble_at_any_block_leaves_blocks_as_they_were_and_a_retry_succeeds() {
    let actions = [
        probe("p", "add one"),
        probe_create("q", CreateMode::Create),
        probe("q", "add two"),
        probe("q", "blocks 3"),
    ];
    let mut clean = probed();
    clean.source.asked.set(0);
    clean.run(&actions).unwrap();
    let asked = clean.source.asked.get();
    assert!(asked > 8);
    for trouble in [Trouble::Fault, Trouble::NotHere] {
        for at in 0..asked {
            let mut site = probed();
            let before = site.source.blocks.clone();
            site.source.asked.set(0);
            site.source.trouble.set(Some((at, trouble)));
            assert!(site.try_run(&actions).is_err(), "{trouble:?} at={at}");
            assert_eq!(site.source.blocks, before);
            site.source.trouble.set(None);
            site.run(&actions).unwrap();
            assert_eq!(site.source.blocks, clean.source.blocks);
        }
    }
}
