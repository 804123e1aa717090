//! Trees through the executor: operations, refusals, indexes, changes, formats.

mod format;
mod indexes;
mod model;
mod operations;

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{Action, CollectionPolicy, CreateMode, Rejection};

use super::{RawTree, TreeAnswer, TreeOptions, TreeType, TreeView};
use crate::{
    SourceReader,
    btree::{Direction, EVERYTHING, NodeCapacity, Survey},
    testing::Site,
};

/// A partition with one tree.
#[derive(Clone, Debug)]
struct Orchard {
    site: Site,
    tree: RawTree,
}

impl Orchard {
    fn new(options: &TreeOptions) -> Self {
        let mut site = Site::new(vec![Arc::new(TreeType)]);
        let tree = RawTree::new("shop/stock".parse().unwrap());
        let create = tree.create(CreateMode::Create, CollectionPolicy::default(), options);
        site.run(&[create]).unwrap();
        Self { site, tree }
    }

    fn small() -> Self {
        let capacity = NodeCapacity::new(96).unwrap();
        Self::new(&TreeOptions { capacity, ..TreeOptions::default() })
    }

    fn run(&mut self, action: Action) -> Result<TreeAnswer, Rejection> {
        let answers = self.site.run(&[action])?;
        Ok(TreeAnswer::decode(&answers[0]).unwrap())
    }

    fn view(&self) -> TreeView {
        self.tree.open(&mut self.reader()).unwrap()
    }

    fn reader(&self) -> SourceReader<'_> {
        SourceReader(&self.site.source)
    }

    fn get(&self, key: &str) -> Option<Bytes> {
        let entry = self.tree.get(&mut self.reader(), key.as_bytes()).unwrap();
        entry.map(|entry| entry.value)
    }

    fn all(&self, direction: Direction) -> Vec<(Bytes, Bytes)> {
        let mut reader = self.reader();
        let scan = self.view().range(&mut reader, EVERYTHING, direction);
        scan.map(|entry| entry.map(|entry| (entry.key, entry.value)).unwrap()).collect()
    }

    fn verify(&self) -> Survey {
        self.view().verify(&mut self.reader()).unwrap()
    }
}

fn key(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}
