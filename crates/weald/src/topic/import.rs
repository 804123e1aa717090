//! What another head of a topic has that this one does not, and bringing it in.

use weald_pubsub::{
    AdminAction, Message, MessageCollection, MessageEntry, PageFault, PageMap,
    SubscriberCollection, TopicPosition, UnionAnswer,
    merge::{Fork, Merge, Missing, merge},
};

use super::{Topic, TopicPages, handle::administer, look_at};
use crate::{Error, ErrorKind, Result, Write, write::undecodable};

/// What two heads of one topic lack of each other.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TopicMerge {
    /// What this one lacks: messages that have not expired, and subscriptions.
    pub here: Missing,
    /// What the other lacks.
    pub there: Missing,
}

/// What an import brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Messages, which have new positions.
    pub messages: u64,
    /// Subscriptions.
    pub leases: u64,
    /// Messages that were lacking and whose content the other does not have any more.
    pub lost: u64,
}

impl Topic {
    /// Compares this topic with another head of it, page by page; nothing is changed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// chat.publish("one").await?;
    /// let merge = chat.merge(&chat.clone()).await?;
    /// assert!(merge.here.messages.is_empty() && merge.there.messages.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when it is another topic; when one of them cannot be read.
    pub async fn merge(&self, other: &Self) -> Result<TopicMerge> {
        if self.id() != other.id() {
            return Err(Error::new(ErrorKind::Invalid, "another topic cannot be merged"));
        }
        let ((mut here, log_time), (mut there, _)) =
            (self.pages_at().await?, other.pages_at().await?);
        let mut left = fork(&mut here).map_err(damaged)?;
        let mut right = fork(&mut there).map_err(damaged)?;
        let merged = merge(&mut left, &mut right, log_time);
        let Merge { left, right } = merged.map_err(damaged)?;
        Ok(TopicMerge { here: left, there: right })
    }

    /// Brings in what another head of this topic has and this one does not, as unions that this
    /// node signs: it must be the topic's owner, or the network's administrator. Ids and signatures
    /// stay, positions are new. Repeated it brings in nothing more.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// let report = chat.recover(&chat.clone()).await?;
    /// assert_eq!(report.messages, 0, "there is nothing that it lacks");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when it is another topic, and when this node may not.
    pub async fn recover(&self, other: &Self) -> Result<ImportReport> {
        let missing = self.merge(other).await?.here;
        let mut report = ImportReport::default();
        let bodies = other.bodies(&missing.messages).await?;
        let mut bodies = bodies.into_iter();
        let mut lost = 0;
        let unions = missing.unions(|_| {
            let body = bodies.next().flatten();
            lost += u64::from(body.is_none());
            body
        });
        report.lost = lost;
        let generation = self.head().await?.generation;
        for union in unions {
            let action =
                administer(&self.node, &self.code, (generation, AdminAction::Union(union)))?;
            let write = Write::new(&self.node, Ok(vec![action]), |reply| {
                UnionAnswer::decode(reply.answer()?).map_err(|error| undecodable(&error))
            });
            let UnionAnswer { published, leases } = write.await?;
            report.messages += u64::try_from(published.len()).unwrap_or(u64::MAX);
            report.leases += leases;
        }
        Ok(report)
    }

    /// The message at a position, if it is retained and has not expired at log time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// let position = chat.publish("one").await?.position.unwrap();
    /// assert_eq!(chat.message(position).await?.unwrap().body, "one");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended.
    pub async fn message(&self, position: TopicPosition) -> Result<Option<Message>> {
        let version = self.version().await?;
        let found = look_at(&version, |reader| self.code.message(reader, position)).await?;
        Ok(found.filter(|message| message.expires_at > version.log_time()))
    }

    async fn bodies(&self, entries: &[MessageEntry]) -> Result<Vec<Option<Message>>> {
        let mut bodies = Vec::with_capacity(entries.len());
        for entry in entries {
            let found = self.message(entry.position).await?;
            bodies.push(found.filter(|message| message.id(self.address()) == entry.id));
        }
        Ok(bodies)
    }
}

/// One side of a merge.
fn fork(side: &mut TopicPages) -> std::result::Result<Fork<'_>, PageFault> {
    let TopicPages { pages, messages, subscribers } = side;
    let messages = match *messages == weald_pubsub::Cid::EMPTY {
        true => MessageCollection::default(),
        false => {
            let root = pages.reference::<MessageEntry>(*messages)?;
            MessageCollection::open(pages, root)?
        }
    };
    let subscribers = match *subscribers == weald_pubsub::Cid::EMPTY {
        true => SubscriberCollection::default(),
        false => {
            let root = pages.reference::<weald_pubsub::Lease>(*subscribers)?;
            SubscriberCollection::open(root)
        }
    };
    let pages: &mut PageMap = pages;
    Ok(Fork { pages, messages, subscribers })
}

fn damaged(error: PageFault) -> Error {
    Error::caused(ErrorKind::Damaged, error.to_string(), error)
}
