//! Two collection types of one's own, each with its own rule for conflicts: a [`Counter`] that keeps
//! within a bound, and a [`Queue`] whose consumers never take the same item twice.

mod counter;
mod queue;

pub use counter::Counter;
pub use queue::Queue;

use bytes::Bytes;
use weald_collections::{CollectionType, Stop};
use weald_core::{Action, ActionBody, CollectionName, CollectionPolicy, CreateMode, Rejection};

/// The action that makes a collection of type `code`.
pub fn create(code: &impl CollectionType, name: &CollectionName, options: Bytes) -> Action {
    let (version, policy) = (code.version(), CollectionPolicy::default());
    let body = ActionBody::Create { mode: CreateMode::OpenOrCreate, version, policy, options };
    Action { collection: name.clone(), type_name: code.name(), body }
}

fn apply(code: &impl CollectionType, name: &CollectionName, operation: Bytes) -> Action {
    Action { body: ActionBody::Apply(operation), ..create(code, name, Bytes::new()) }
}

fn refused(code: u32, detail: &str) -> Stop {
    Rejection::Custom { code, detail: detail.to_owned() }.into()
}

fn number(bytes: &[u8]) -> Result<i64, Stop> {
    let bytes = bytes.try_into().map_err(|_| refused(1, "a number has 8 bytes"))?;
    Ok(i64::from_le_bytes(bytes))
}
