//! Diaries over a partition in memory.

mod appends;
mod model;

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{CollectionName, CollectionPolicy, CreateMode, Rejection, Retention, Sequence};

use super::*;
use crate::{
    ReadError, SourceReader,
    chain::ReadLimit,
    testing::{Site, Trouble},
};

fn name(text: &str) -> CollectionName {
    text.parse().unwrap()
}

fn raw(text: &str) -> RawDiary {
    RawDiary::new(name(text))
}

/// A site with the diary `d`.
fn site() -> Site {
    let mut site = Site::new(vec![Arc::new(DiaryType)]);
    site.run(&[raw("d").create(CreateMode::Create, CollectionPolicy::default())]).unwrap();
    site
}
