//! Where a durable subscription goes on: what is kept under its name, in a tree beside the topic, in
//! the topic's partition.

use weald_core::Digest;
use weald_pubsub::TopicPosition;

use super::{Topic, options::check_durable};
use crate::{Error, ErrorKind, Result};

/// How often others may be faster before a cursor is given up.
const ATTEMPTS: usize = 8;

/// The last position that was acknowledged, and the generation that it is of: of a later one it says
/// nothing. Ordered by generation first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Bookmark {
    /// The last generation that the application was told of.
    pub(crate) generation: u64,
    /// The position.
    pub(crate) position: TopicPosition,
}

/// What is kept under a name, for whoever does not subscribe: a client acknowledges by calls of its
/// own.
impl Topic {
    /// What is kept under `name`; `None` when nothing is.
    pub(crate) async fn cursor(&self, name: &str) -> Result<Option<Bookmark>> {
        check_durable(name)?;
        Bookmark::read(self, name).await
    }

    /// Keeps `mark` under `name`, unless a later one is kept. What is kept then.
    pub(crate) async fn keep_cursor(&self, name: &str, mark: Bookmark) -> Result<Bookmark> {
        check_durable(name)?;
        let tree = self.node.raw_tree(&cursors(self)).open_or_create().await?;
        for _ in 0..ATTEMPTS {
            let entry = tree.entry(key(name).as_bytes()).await?;
            let kept = entry.as_ref().map(|entry| Bookmark::decode(&entry.value)).transpose()?;
            if let Some(kept) = kept.filter(|kept| *kept >= mark) {
                return Ok(kept);
            }
            let (key, seen) = (key(name), entry.map(|entry| entry.revision));
            match tree.compare_and_put(key.as_bytes(), seen, mark.encode()).await {
                Ok(_) => return Ok(mark),
                Err(error) if is_overtaken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Busy, "others write the cursor all the time"))
    }

    /// Forgets what is kept under `name`; what that was.
    pub(crate) async fn forget_cursor(&self, name: &str) -> Result<Option<Bookmark>> {
        let kept = self.cursor(name).await?;
        if kept.is_some() {
            let tree = self.node.raw_tree(&cursors(self)).open().await?;
            tree.delete(key(name).as_bytes()).await?;
        }
        Ok(kept)
    }
}

fn is_overtaken(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists)
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
    fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.position.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }

    /// A position without a generation is of the first.
    fn decode(bytes: &[u8]) -> Result<Self> {
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
fn cursors(topic: &Topic) -> String {
    format!("{}/cursors", topic.code.collection())
}

fn key(name: &str) -> Digest {
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

    #[tokio::test]
    async fn ps1562_a_cursor_that_is_kept_by_a_call_never_goes_back() {
        let node = crate::Weald::in_memory().await.unwrap();
        let chat = node.topic("chat").create().await.unwrap();
        assert_eq!(chat.cursor("reader").await.unwrap(), None);
        assert_eq!(chat.forget_cursor("reader").await.unwrap(), None);
        for (kept, expected) in [
            (mark(0, 5), mark(0, 5)),
            (mark(0, 3), mark(0, 5)),
            (mark(0, 5), mark(0, 5)),
            (mark(1, 2), mark(1, 2)),
            (mark(0, 9), mark(1, 2)),
        ] {
            assert_eq!(chat.keep_cursor("reader", kept).await.unwrap(), expected, "{kept:?}");
            assert_eq!(chat.cursor("reader").await.unwrap(), Some(expected));
        }
        assert_eq!(chat.cursor("other").await.unwrap(), None);
        assert_eq!(chat.forget_cursor("reader").await.unwrap(), Some(mark(1, 2)));
        assert_eq!(chat.cursor("reader").await.unwrap(), None);
        for name in [String::new(), "x".repeat(129)] {
            let error = chat.cursor(&name).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
        }
    }

    #[tokio::test]
    async fn of_many_who_keep_a_cursor_at_once_the_furthest_counts() {
        let node = crate::Weald::in_memory().await.unwrap();
        let chat = node.topic("chat").create().await.unwrap();
        chat.keep_cursor("reader", mark(0, 1)).await.unwrap();
        let keep = |position| {
            let chat = chat.clone();
            tokio::spawn(async move { chat.keep_cursor("reader", mark(0, position)).await })
        };
        for kept in (2..6).map(keep).collect::<Vec<_>>() {
            assert!(kept.await.unwrap().unwrap() >= mark(0, 2));
        }
        assert_eq!(chat.cursor("reader").await.unwrap(), Some(mark(0, 5)));
    }
}
