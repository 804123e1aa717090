//! Handles of collections that the gateway keeps open: a collection that was found once need not be
//! looked for at each request.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::limits;
use crate::{CollectionName, ErrorKind, RawDiary, RawTree, Result, Topic, TopicId, Weald};

/// Open collections, at most [`limits::HANDLES_MAX`] of each type.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    trees: Mutex<Kept<RawTree>>,
    diaries: Mutex<Kept<RawDiary>>,
    topics: Mutex<Kept<Topic>>,
}

impl Handles {
    /// The tree `name`, which must be there.
    ///
    /// # Errors
    /// As for opening a tree.
    pub(crate) async fn tree(&self, node: &Weald, name: &CollectionName) -> Result<RawTree> {
        if let Some(tree) = self.trees.lock().find(name) {
            return Ok(tree);
        }
        let tree = node.raw_tree(name.as_str()).open().await?;
        self.trees.lock().keep(name, &tree);
        Ok(tree)
    }

    /// The tree `name`, made if it is not there.
    pub(crate) async fn tree_made(&self, node: &Weald, name: &CollectionName) -> Result<RawTree> {
        if let Some(tree) = self.trees.lock().find(name) {
            return Ok(tree);
        }
        let tree = node.raw_tree(name.as_str()).open_or_create().await?;
        self.trees.lock().keep(name, &tree);
        Ok(tree)
    }

    /// The diary `name`, which must be there.
    pub(crate) async fn diary(&self, node: &Weald, name: &CollectionName) -> Result<RawDiary> {
        if let Some(diary) = self.diaries.lock().find(name) {
            return Ok(diary);
        }
        let diary = node.raw_diary(name.as_str()).open().await?;
        self.diaries.lock().keep(name, &diary);
        Ok(diary)
    }

    /// The diary `name`, made if it is not there.
    pub(crate) async fn diary_made(&self, node: &Weald, name: &CollectionName) -> Result<RawDiary> {
        if let Some(diary) = self.diaries.lock().find(name) {
            return Ok(diary);
        }
        let diary = node.raw_diary(name.as_str()).open_or_create().await?;
        self.diaries.lock().keep(name, &diary);
        Ok(diary)
    }

    /// The topic `name`, which must be there.
    pub(crate) async fn topic(&self, node: &Weald, name: &str) -> Result<Topic> {
        let collection = TopicId::of(name).collection();
        if let Some(topic) = self.topics.lock().find(&collection) {
            return Ok(topic);
        }
        let topic = node.topic(name).open().await?;
        self.topics.lock().keep(&collection, &topic);
        Ok(topic)
    }

    /// The topic `name`, made if it is not there.
    pub(crate) async fn topic_made(&self, node: &Weald, name: &str) -> Result<Topic> {
        let collection = TopicId::of(name).collection();
        if let Some(topic) = self.topics.lock().find(&collection) {
            return Ok(topic);
        }
        let topic = node.topic(name).open_or_create().await?;
        self.topics.lock().keep(&collection, &topic);
        Ok(topic)
    }

    /// Lets go of a topic that has ended, and of one whose rules refuse: it may have begun anew under
    /// others.
    pub(crate) fn heed_topic<T>(&self, name: &str, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid)
        {
            self.forget_topic(name);
        }
        result
    }

    /// Lets go of a topic.
    pub(crate) fn forget_topic(&self, name: &str) {
        self.topics.lock().forget(&TopicId::of(name).collection());
    }

    /// Lets go of a collection that turned out not to be there, as after the node joined another
    /// network.
    pub(crate) fn heed<T>(&self, name: &CollectionName, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && error.kind() == ErrorKind::NotFound
        {
            self.trees.lock().forget(name);
            self.diaries.lock().forget(name);
        }
        result
    }
}

/// The youngest handles.
#[derive(Debug)]
struct Kept<T> {
    by_name: HashMap<CollectionName, T>,
    by_age: VecDeque<CollectionName>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), by_age: VecDeque::new() }
    }
}

impl<T: Clone> Kept<T> {
    fn find(&self, name: &CollectionName) -> Option<T> {
        self.by_name.get(name).cloned()
    }

    fn keep(&mut self, name: &CollectionName, handle: &T) {
        if self.by_name.insert(name.clone(), handle.clone()).is_some() {
            return;
        }
        self.by_age.push_back(name.clone());
        if self.by_age.len() > limits::HANDLES_MAX {
            let oldest = self.by_age.pop_front().expect("there is more than the bound");
            self.by_name.remove(&oldest);
        }
    }

    fn forget(&mut self, name: &CollectionName) {
        if self.by_name.remove(name).is_some() {
            self.by_age.retain(|kept| kept != name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_handle_goes_when_the_bound_is_met() {
        let name = |number: usize| format!("c{number}").parse::<CollectionName>().unwrap();
        let mut kept = Kept::default();
        for number in 0..=limits::HANDLES_MAX {
            kept.keep(&name(number), &number);
            kept.keep(&name(number), &number);
        }
        assert_eq!(kept.find(&name(0)), None);
        assert_eq!(kept.find(&name(1)), Some(1));
        assert_eq!(
            (kept.by_name.len(), kept.by_age.len()),
            (limits::HANDLES_MAX, limits::HANDLES_MAX)
        );
        kept.forget(&name(1));
        kept.forget(&name(1));
        assert_eq!(
            (kept.by_name.len(), kept.by_age.len()),
            (limits::HANDLES_MAX - 1, limits::HANDLES_MAX - 1)
        );
    }
}
