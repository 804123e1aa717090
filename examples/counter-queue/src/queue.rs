//! A queue of work: items are taken once, in order.

use bytes::Bytes;
use weald_collections::{ChainUse, CollectionType, Resolution, Scope, Stop};
use weald_core::{Action, CollectionChange, CollectionName, TypeName, TypeVersion};

use crate::{apply, refused};

/// The type `queue`. Operation: `+` and an item, or `-`. Answer to `-`: the item.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue;

impl Queue {
    /// The action that adds an item.
    pub fn push(name: &CollectionName, item: &[u8]) -> Action {
        apply(&Self, name, [b"+", item].concat().into())
    }

    /// The action that takes the oldest item; refused when there is none.
    pub fn take(name: &CollectionName) -> Action {
        apply(&Self, name, Bytes::from_static(b"-"))
    }
}

impl CollectionType for Queue {
    fn name(&self) -> TypeName {
        "queue".parse().expect("a valid name")
    }

    fn version(&self) -> TypeVersion {
        TypeVersion(1)
    }

    fn chain_use(&self) -> ChainUse {
        ChainUse::Entries
    }

    fn create(&self, _: &mut Scope<'_, '_>, _: &[u8]) -> Result<Bytes, Stop> {
        Ok(Bytes::new())
    }

    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop> {
        match operation.split_first() {
            Some((b'+', item)) => {
                scope.append(&[Bytes::copy_from_slice(item)])?;
                Ok(Bytes::new())
            }
            Some((b'-', [])) => match scope.dequeue(1)?.pop() {
                Some(taken) => Ok(taken.payload),
                None => Err(refused(2, "the queue is empty")),
            },
            _ => Err(refused(1, "neither + nor -")),
        }
    }

    /// A consumer that lost would take another item than it looked at, so it decides anew.
    fn resolve_conflict(&self, operation: &[u8], _: &[CollectionChange]) -> Resolution {
        if operation == b"-" { Resolution::Drop } else { Resolution::Keep }
    }
}
