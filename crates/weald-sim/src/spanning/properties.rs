//! What holds in every state, and what must be met in some.

use stateright::Property;
use weald_core::Outcome;

use super::{
    Bounds, Explorer,
    world::{World, id},
};

/// The properties that an exploration within `bounds` is to show.
pub(super) fn of(bounds: &Bounds) -> Vec<Property<Explorer>> {
    let mut all = vec![
        Property::always("no half of a transfer is visible", |_, world| is_whole(world)),
        Property::always("the client is told what was decided", |_, world| is_true(world)),
        Property::always("everything comes to an end", |_, world| ends(world)),
        Property::sometimes("a transfer is carried out", |_, world: &World| {
            world.has_moved(0) && world.has_moved(1)
        }),
        Property::sometimes("a transfer is given up", |_, world: &World| {
            matches!(world.decided(), Some(Outcome::Rejected(_)))
        }),
    ];
    if bounds.ends > 0 {
        all.push(Property::sometimes("a successor carries out", |_, world: &World| {
            world.has_ended() && world.has_moved(0) && world.has_moved(1)
        }));
        all.push(Property::sometimes("nobody knows of the transfer any more", |_, world| {
            is_forgotten(world)
        }));
    }
    all
}

/// What was moved was decided; where it was decided, the other side has moved it or holds it.
fn is_whole(world: &World) -> bool {
    let is_committed = matches!(world.decided(), Some(Outcome::Committed(_)));
    let [from, to] = [world.has_moved(0), world.has_moved(1)];
    let other_follows = to || world.sides[1].waits(&id());
    from == is_committed && (!to || from) && (!from || other_follows)
}

fn is_true(world: &World) -> bool {
    world.told.iter().all(|told| match told {
        Outcome::Committed(_) => world.decided() == Some(told),
        // A refusal that is not kept has decided nothing: asked again, the transfer may go through.
        Outcome::Rejected(_) => world.has_asked_again() || !world.has_moved(0),
        Outcome::Unknown(_) => true,
    })
}

fn ends(world: &World) -> bool {
    let end = world.completed();
    let is_settled = end.sides.iter().all(|side| side.is_settled());
    is_settled && end.has_moved(0) == end.has_moved(1)
}

/// The participant holds its part, and the primary's coordination has ended before it decided.
fn is_forgotten(world: &World) -> bool {
    world.has_ended() && world.decided().is_none() && world.sides[1].waits(&id())
}
