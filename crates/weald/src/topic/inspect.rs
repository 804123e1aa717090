//! Looking into a topic: its head, pages, history, messages.

use weald_core::Time;
use weald_pubsub::{
    ChannelState, Cid, CoordinatorObject, CoordinatorSnapshot, Lease, Leaving, LineageEntry,
    PageMap, TopicItem, TopicPosition, TopicVersion,
};

use super::{Topic, TopicEvent, TopicMessage, limits::READ_MAX, look_at};
use crate::{ErrorKind, Position, Result, backend::Plight};

/// Subscriptions that one call lists.
const SUBSCRIBERS_MAX: usize = 10_000;

/// All versions of a topic that are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicHistory {
    /// Versions of the messages with their roots, oldest first.
    pub messages: Vec<LineageEntry>,
    /// Versions of the subscriptions with their roots, oldest first.
    pub subscribers: Vec<LineageEntry>,
}

/// The pages of a topic, each found by the digest of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPages {
    /// All pages.
    pub pages: PageMap,
    /// The root of the messages.
    pub messages: Cid,
    /// The root of the subscriptions.
    pub subscribers: Cid,
}

impl Topic {
    /// How the topic is. `Recovering` while the member here is repaired, or fed after a forced
    /// recovery, and no other answers; also while it cannot read the topic's pages and there are
    /// others. `Failed` when it cannot and there are none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::ChannelState;
    /// let chat = node.topic("chat").create().await?;
    /// assert_eq!(chat.channel_state().await?, ChannelState::Active);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When that is not known: nobody who could tell is reached.
    pub async fn channel_state(&self) -> Result<ChannelState> {
        let error = match self.head().await {
            Ok(head) => return Ok(head.state),
            Err(error) => error,
        };
        let (running, collection) = (self.node.running()?, self.code.collection());
        let plight = match error.kind() {
            ErrorKind::NotFound => return Ok(ChannelState::Deleted),
            ErrorKind::Damaged => Some(Plight::Broken),
            ErrorKind::Unavailable | ErrorKind::Behind => running.backend.plight(&collection),
            _ => None,
        };
        let has_others = running.backend.members(&collection).len() > 1;
        plight.map(|plight| state_in(plight, has_others)).ok_or(error)
    }

    /// The head: versions, roots and counts of messages and subscriptions.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// chat.publish("one").await?;
    /// let head = chat.head().await?;
    /// assert_eq!((head.messages.count, head.next.0), (1, 2));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn head(&self) -> Result<CoordinatorObject> {
        Ok(self.head_at().await?.0)
    }

    /// The head, and the place in the log of the state that it was read from:
    /// [`Topic::at_least`] takes it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// let (head, position) = chat.head_at().await?;
    /// assert_eq!(chat.at_least(position).head().await?, head);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn head_at(&self) -> Result<(CoordinatorObject, Position)> {
        let version = self.version().await?;
        let head = look_at(&version, |reader| self.code.head(reader)).await?;
        Ok((head, version.position()))
    }

    /// The position of the last message: what a subscriber that has seen everything has seen.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// let published = chat.publish("one").await?;
    /// assert_eq!(chat.last_position().await?, published.position.unwrap());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn last_position(&self) -> Result<TopicPosition> {
        Ok(TopicPosition(self.head().await?.next.0.saturating_sub(1)))
    }

    /// Up to `limit` messages from `from` on, 1,024 at most, with gaps for those that are not
    /// retained or have expired at log time; empty at the end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::TopicPosition;
    /// let chat = node.topic("chat").create().await?;
    /// chat.publish("one").await?;
    /// assert_eq!(chat.read(TopicPosition(1), 10).await?.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn read(&self, from: TopicPosition, limit: usize) -> Result<Vec<TopicEvent>> {
        let version = self.version().await?;
        let limits = (limit.clamp(1, READ_MAX), version.log_time());
        let page = look_at(&version, |reader| self.code.read(reader, from, limits)).await?;
        let address = *self.address();
        let event = |item| match item {
            TopicItem::Message { position, message } => {
                Some(TopicEvent::Message(TopicMessage::new(&address, position, message, 0)))
            }
            TopicItem::Gone { first, last } => Some(TopicEvent::Gap { first, last }),
            // Bodies were read with their messages.
            TopicItem::Large { .. } => None,
        };
        Ok(page.items.into_iter().filter_map(event).collect())
    }

    /// All pages of both collections by their content: what a merge starts from.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// chat.publish("one").await?;
    /// let pages = chat.pages().await?;
    /// assert_eq!(pages.messages, chat.head().await?.messages.root);
    /// assert!(pages.pages.bytes(&pages.messages).is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn pages(&self) -> Result<TopicPages> {
        Ok(self.pages_at().await?.0)
    }

    /// All pages, and log time where they were read.
    pub(super) async fn pages_at(&self) -> Result<(TopicPages, Time)> {
        let version = self.version().await?;
        let pages = look_at(&version, |reader| self.code.pages(reader)).await?;
        let (pages, messages, subscribers) = pages;
        Ok((TopicPages { pages, messages, subscribers }, version.log_time()))
    }

    /// Up to `depth` snapshots of versions that have left the head, newest first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// for number in 0..20 {
    ///     chat.publish(format!("{number}")).await?;
    /// }
    /// assert_eq!(chat.lineage(10).await?.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn lineage(&self, depth: usize) -> Result<Vec<CoordinatorSnapshot>> {
        let code = self.code;
        self.look(move |reader| code.lineage(reader, depth)).await
    }

    /// All versions that the head and up to `depth` snapshots remember.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// chat.publish("one").await?;
    /// chat.publish("two").await?;
    /// let history = chat.history(10).await?;
    /// assert_eq!(history.messages.last().unwrap().root, chat.head().await?.messages.root);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn history(&self, depth: usize) -> Result<TopicHistory> {
        let code = self.code;
        let Leaving { messages, subscribers } =
            self.look(move |reader| code.history(reader, depth)).await?;
        Ok(TopicHistory { messages, subscribers })
    }

    /// The subscriptions written after `version` of theirs, 10,000 at most.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::TopicVersion;
    /// let chat = node.topic("chat").create().await?;
    /// assert!(chat.subscribers(TopicVersion::ZERO).await?.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn subscribers(&self, version: TopicVersion) -> Result<Vec<Lease>> {
        let code = self.code;
        self.look(move |reader| code.subscribers(reader, version, SUBSCRIBERS_MAX)).await
    }
}

/// How a topic is that the member here cannot serve, where others keep it, too, or do not.
const fn state_in(plight: Plight, has_others: bool) -> ChannelState {
    match (plight, has_others) {
        (Plight::Mending, _) | (Plight::Broken, true) => ChannelState::Recovering,
        (Plight::Broken, false) => ChannelState::Failed,
    }
}
