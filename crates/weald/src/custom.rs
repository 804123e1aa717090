//! Collections of types that the application brings itself.
//!
//! A type is given to [`Builder::register`](crate::Builder::register). Its actions run like those
//! of trees and diaries: [`Weald::act`] commits some, [`Transaction::run`](crate::Transaction::run)
//! and [`Transaction::stage`](crate::Transaction::stage) take one into a transaction, and
//! [`Weald::read`] hands the newest blocks to code that reads them.

use bytes::Bytes;
use weald_collections::{ReadError, SourceReader};
use weald_core::{Action, CollectionName, Position, Revision, Time, TransactionId};

use crate::{Error, ErrorKind, Result, Weald, Write, node::read};

/// Actions that are durable and visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// The transaction that did them.
    pub transaction: TransactionId,
    /// Its place in the log.
    pub position: Position,
    /// Its log time.
    pub time: Time,
    /// The collections that it changed, each with its revision through it.
    pub revisions: Vec<(CollectionName, Revision)>,
    /// One answer an action, in the encoding of its collection type.
    pub answers: Vec<Bytes>,
}

impl Weald {
    /// Commits actions on collections of any registered type: all of them or none.
    ///
    /// # Errors
    /// When awaited: `Invalid` without any action; what a type refuses comes with its rejection.
    pub fn act(&self, actions: impl IntoIterator<Item = Action>) -> Write<Acted> {
        let actions: Vec<Action> = actions.into_iter().collect();
        let actions = if actions.is_empty() {
            Err(Error::new(ErrorKind::Invalid, "nothing to do: give at least one action"))
        } else {
            Ok(actions)
        };
        Write::new(self, actions, |reply| {
            let (transaction, commit) = (reply.transaction, reply.commit);
            Ok(Acted {
                transaction,
                position: commit.position,
                time: commit.time,
                revisions: commit.revisions,
                answers: commit.answers,
            })
        })
    }

    /// Runs `look` on the newest version of all collections. It is run again after blocks that it
    /// needs were loaded, so it must not have effects of its own.
    ///
    /// # Errors
    /// What `look` returns, and damage that it meets.
    pub async fn read<T>(
        &self,
        look: impl FnMut(&mut SourceReader<'_>) -> std::result::Result<T, ReadError>,
    ) -> Result<T> {
        read(&self.whole().await?, look).await
    }
}
