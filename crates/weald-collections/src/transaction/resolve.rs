//! What becomes of the actions of a transaction that lost.

use weald_core::{Action, ActionBody, CollectionChange, CollectionName};

use crate::{Registry, Resolution};

/// Asks the collection types what becomes of `actions` in view of what was committed instead:
/// each is kept, dropped or replaced. `committed` gives the changes of a collection since it was
/// read. Actions of types without code here are kept.
pub fn resolve_conflict(
    registry: &Registry,
    actions: Vec<Action>,
    mut committed: impl FnMut(&CollectionName) -> Vec<CollectionChange>,
) -> Vec<Action> {
    actions
        .into_iter()
        .filter_map(|action| {
            let changes = committed(&action.collection);
            resolve_one(registry, action, &changes)
        })
        .collect()
}

fn resolve_one(
    registry: &Registry,
    action: Action,
    changes: &[CollectionChange],
) -> Option<Action> {
    let ActionBody::Apply(operation) = &action.body else { return Some(action) };
    let Some(code) = registry.newest(&action.type_name) else { return Some(action) };
    match code.resolve_conflict(operation, changes) {
        Resolution::Keep => Some(action),
        Resolution::Drop => None,
        Resolution::Replace(operation) => {
            Some(Action { body: ActionBody::Apply(operation), ..action })
        }
    }
}
