//! The executor with a type that misbehaves on request.

mod caps;
mod cold;
mod collections;
mod faults;
mod probe;

use weald_core::{
    Action, ActionBody, BlockId, BlockKind, CollectionName, CollectionPolicy, CreateMode, Executed,
    Executor, Halt, Overlay, Rejection, Retention, Revision, TypeVersion,
};

use crate::{
    CreateAnswer, DiaryType,
    testing::{Site, Trouble},
};
use probe::{Probe, probe, probe_create};

fn site() -> Site {
    Site::new(vec![std::sync::Arc::new(DiaryType), std::sync::Arc::new(Probe)])
}

fn name(text: &str) -> CollectionName {
    text.parse().unwrap()
}

/// A site with the probe `p`.
fn probed() -> Site {
    let mut site = site();
    site.run(&[probe_create("p", CreateMode::Create)]).unwrap();
    site
}
