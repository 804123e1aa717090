//! What holds in every state, and what must be met in some.

use std::sync::atomic::{AtomicBool, Ordering};

use stateright::Property;
use weald_cluster::replica::{Role, Stop};
use weald_core::LogIndex;

use super::{
    Bounds, Explorer,
    world::{Fault, World},
};

/// The properties that an exploration within `bounds` is to show.
pub(super) fn of(bounds: &Bounds) -> Vec<Property<Explorer>> {
    let mut all = vec![
        Property::always("one coordination of an epoch", |_, world: &World| {
            is_without(world, Fault::TwoCoordinations)
        }),
        Property::always("one committed entry at a place", |_, world: &World| {
            is_without(world, Fault::TwoValues)
        }),
        Property::always("nothing is said before it is durable", |_, world: &World| {
            is_without(world, Fault::SaidTooEarly)
        }),
        Property::always("what is committed is on a quorum's disks", |_, world: &World| {
            is_without(world, Fault::CommittedByFew)
        }),
        Property::always("what is committed is in every later coordinator's log", |_, world| {
            holds_committed(world)
        }),
        Property::always("members agree up to their watermarks", |_, world| agree(world)),
        Property::always("no member is shown two histories", |_, world| is_consistent(world)),
        Property::sometimes("a command is committed", |_, world: &World| {
            world.history.committed.len() >= 2
        }),
    ];
    if bounds.campaigners > 1 && bounds.campaigns > u8::from(!bounds.is_begun) {
        all.push(Property::sometimes("a takeover commits", |_, world| has_taken_over(world)));
        all.push(Property::sometimes("an entry is cut", |explorer: &Explorer, _| {
            is_reached(&explorer.coverage().has_cut)
        }));
        all.push(Property::sometimes("a lower epoch is refused", |explorer: &Explorer, _| {
            is_reached(&explorer.coverage().has_refused_epoch)
        }));
    }
    if bounds.wipes > 0 {
        all.push(Property::sometimes("an amnesiac takes no part", |explorer: &Explorer, _| {
            is_reached(&explorer.coverage().has_refused_amnesiac)
        }));
    }
    if bounds.has_change && bounds.has_signatures {
        all.push(Property::sometimes("a change is complete", |_, world| has_changed(world)));
    } else if bounds.has_change {
        all.push(Property::sometimes(
            "a joint configuration is committed by a successor",
            |_, world| has_inherited_change(world),
        ));
    }
    if bounds.resignations > 0 {
        all.push(Property::sometimes("what was cut is committed by another", |_, world| {
            has_restored(world)
        }));
    }
    all
}

fn is_reached(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

fn is_without(world: &World, fault: Fault) -> bool {
    !world.history.faults.contains(&fault)
}

fn holds_committed(world: &World) -> bool {
    world.nodes.iter().all(|node| {
        let Some(own) = node.state.coordinating() else { return true };
        let known = world.history.committed.iter().filter(|(_, (_, epoch))| *epoch <= own);
        known.into_iter().all(|(index, (hash, _))| {
            node.state.entry(*index).is_some_and(|entry| entry.hash() == *hash)
        })
    })
}

fn agree(world: &World) -> bool {
    world.nodes.iter().all(|node| {
        (1..=node.state.watermark().0).all(|index| {
            let held = node.state.entry(LogIndex(index)).map(|entry| entry.hash());
            let committed = world.history.committed.get(&LogIndex(index)).map(|(hash, _)| *hash);
            held == committed
        })
    })
}

fn is_consistent(world: &World) -> bool {
    let stops = world.nodes.iter().filter_map(|node| node.state.stop());
    !stops.into_iter().any(|stop| matches!(stop, Stop::Equivocation(_)))
}

fn has_taken_over(world: &World) -> bool {
    let history = &world.history;
    let epochs: std::collections::BTreeSet<_> =
        history.committed.values().map(|(_, epoch)| epoch).collect();
    epochs.len() >= 2
}

fn has_changed(world: &World) -> bool {
    world.nodes.iter().any(|node| {
        let configuration = node.state.configuration();
        let is_settled = configuration.id.0 >= 2 && !configuration.is_joint();
        is_settled && node.state.role() == Role::Coordinator
    })
}

/// The second member coordinates, and the joint configuration of the first is committed.
fn has_inherited_change(world: &World) -> bool {
    let state = &world.nodes[1].state;
    state.role() == Role::Coordinator
        && state.configuration().is_joint()
        && state.watermark() > LogIndex(2)
}

/// A command of the coordination that ended with its being cut is committed by a later one.
fn has_restored(world: &World) -> bool {
    let (place, holder) = (LogIndex(2), &world.nodes[1].state);
    let committed = world.history.committed.get(&place);
    let is_restored = |(hash, epoch): &(_, weald_core::Epoch)| {
        let held = holder.entry(place);
        held.is_some_and(|held| held.hash() == *hash && held.epoch() < *epoch)
    };
    world.has_resigned() && committed.is_some_and(is_restored)
}
