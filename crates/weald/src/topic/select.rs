//! Choosing a topic by its name: create, open, or whichever fits.

use weald_core::CreateMode;
use weald_pubsub::{CreationToken, Signed, TopicId, TopicPolicy};

use super::Topic;
use crate::{Error, ErrorKind, Result, Weald};

/// Names a topic.
#[derive(Clone, Debug)]
pub struct TopicSelector {
    node: Weald,
    name: String,
    policy: TopicPolicy,
    token: Option<Signed<CreationToken>>,
}

impl TopicSelector {
    pub(crate) fn new(node: &Weald, name: &str) -> Self {
        let (node, name) = (node.clone(), name.to_owned());
        Self { node, name, policy: TopicPolicy::default(), token: None }
    }

    /// The rules for the case that the topic is made; an existing topic keeps its own.
    #[must_use]
    pub fn policy(mut self, policy: TopicPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The permission to make the topic, where the network asks for one.
    #[must_use]
    pub fn token(mut self, token: Signed<CreationToken>) -> Self {
        self.token = Some(token);
        self
    }

    /// Makes the topic. One that has ended under its name begins anew, under its own rules, where it
    /// has no owner or this node is it; its positions go on.
    ///
    /// # Errors
    /// `AlreadyExists` when it is there; `Invalid` for rules that allow nothing.
    pub async fn create(self) -> Result<Topic> {
        self.make(CreateMode::Create).await
    }

    /// Opens the topic.
    ///
    /// # Errors
    /// `NotFound` when it was proved that there is none, or that it has ended.
    pub async fn open(self) -> Result<Topic> {
        let id = self.id()?;
        Topic::open(&self.node, id).await
    }

    /// Opens the topic, or makes it. Callers who do this at once end with one topic.
    ///
    /// # Errors
    /// `Invalid` for rules that allow nothing.
    pub async fn open_or_create(self) -> Result<Topic> {
        self.make(CreateMode::OpenOrCreate).await
    }

    async fn make(self, mode: CreateMode) -> Result<Topic> {
        let id = self.id()?;
        self.policy
            .check()
            .map_err(|error| Error::caused(ErrorKind::Invalid, error.to_string(), error))?;
        Topic::create(&self.node, id, mode, (self.policy, self.token)).await
    }

    fn id(&self) -> Result<TopicId> {
        if self.name.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a topic's name is not empty"));
        }
        Ok(TopicId::of(&self.name))
    }
}
