//! Topics over a partition in memory.

mod groups;
mod large;
mod leases;
mod model;
mod pruning;
mod publishing;
mod reading;
mod trouble;
mod unions;

use weald_core::{
    CreateMode, Time,
    identity::{Identity, KeyStore},
};

use super::*;
use crate::{
    testing::{Site, address, at, draft, identity, lasting, message, topic},
    *,
};

/// The refusal's code in a rejection.
fn code(rejection: Rejection) -> u32 {
    match rejection {
        Rejection::Custom { code, .. } => code,
        other => panic!("not a refusal of a topic: {other:?}"),
    }
}

fn signed<R: Signable>(request: R, keys: &Identity) -> Signed<R> {
    Signed::new(&address(), request, keys).unwrap()
}
