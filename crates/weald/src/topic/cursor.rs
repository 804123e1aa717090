//! What is kept under a name, for whoever does not subscribe: a client of the gateway acknowledges by
//! calls of its own.

use super::{
    Topic,
    bookmark::{Bookmark, cursors, key},
    options::check_durable,
};
use crate::{Error, ErrorKind, Result};

/// How often others may be faster before a cursor is given up.
const ATTEMPTS: usize = 8;

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

#[cfg(test)]
mod tests {
    use weald_pubsub::TopicPosition;

    use super::*;

    fn mark(generation: u64, position: u64) -> Bookmark {
        Bookmark { generation, position: TopicPosition(position) }
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
