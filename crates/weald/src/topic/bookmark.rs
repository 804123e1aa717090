//! Where a durable subscription goes on: what is kept under its name, in a tree beside the topic, in
//! the topic's partition.

use weald_core::Digest;
use weald_pubsub::TopicPosition;

use super::Topic;
use crate::{Error, ErrorKind, Result};

/// The last position that was acknowledged, and the generation that it is of: of a later one it says
/// nothing. Ordered by generation first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Bookmark {
    /// The last generation that the application was told of.
    pub(crate) generation: u64,
    /// The position.
    pub(crate) position: TopicPosition,
}

impl Bookmark {
    /// What is kept under `name`; `None` when nothing is.
    pub(super) async fn read(topic: &Topic, name: &str) -> Result<Option<Self>> {
        let tree = match topic.node.raw_tree(&cursors(topic)).open().await {
            Ok(tree) => tree,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let kept = tree.get(key(name).as_bytes()).await?;
        kept.map(|kept| Self::decode(&kept)).transpose()
    }

    /// Keeps it under `name`.
    pub(super) async fn write(self, topic: &Topic, name: &str) -> Result<()> {
        let tree = topic.node.raw_tree(&cursors(topic)).open_or_create().await?;
        tree.put(key(name).as_bytes(), self.encode()).await?;
        Ok(())
    }

    /// The position and the generation, each as 8 big-endian bytes.
    pub(super) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.position.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }

    /// A position without a generation is of the first.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let (position, generation) = bytes.split_at_checked(8).ok_or_else(damaged)?;
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes);
        let generation = match generation {
            [] => 0,
            generation => number(generation).map_err(|_| damaged())?,
        };
        let position = TopicPosition(number(position).map_err(|_| damaged())?);
        Ok(Self { generation, position })
    }
}

/// The tree that keeps the bookmarks of a topic.
pub(super) fn cursors(topic: &Topic) -> String {
    format!("{}/cursors", topic.code.collection())
}

pub(super) fn key(name: &str) -> Digest {
    Digest::of("weald durable", &[name.as_bytes()])
}

fn damaged() -> Error {
    Error::new(ErrorKind::Damaged, "a durable cursor is no position")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(generation: u64, position: u64) -> Bookmark {
        Bookmark { generation, position: TopicPosition(position) }
    }

    #[test]
    fn a_bookmark_comes_back_from_its_bytes_and_one_without_a_generation_is_of_the_first() {
        for mark in [mark(0, 0), mark(3, 70_000), mark(u64::MAX, 1)] {
            assert_eq!(Bookmark::decode(&mark.encode()).unwrap(), mark);
        }
        assert_eq!(Bookmark::decode(&7u64.to_be_bytes()).unwrap(), mark(0, 7));
        for len in [0, 7, 9, 15, 17] {
            let error = Bookmark::decode(&vec![0; len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{len}");
        }
    }

    #[test]
    fn any_position_of_a_later_generation_is_later() {
        assert!(mark(1, 0) > mark(0, 9));
        assert!(mark(1, 2) > mark(1, 1));
    }
}
