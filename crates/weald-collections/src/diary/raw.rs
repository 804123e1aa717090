//! A diary of bytes: makes actions and reads entries.

use bytes::Bytes;
use weald_core::{
    Action, ActionBody, CollectionName, CollectionPolicy, CreateMode, Sequence, codec,
};

use super::{DiaryType, ExpectedVersion, operation::DiaryOperation};
use crate::{
    BlockReader, ChainEntry, ChainState, CollectionState, ReadError,
    chain::{ReadLimit, read_backward, read_forward},
    kind,
    open::open,
};

/// A diary by its name. It holds nothing else, so it is never out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDiary {
    name: CollectionName,
}

impl RawDiary {
    /// The diary `name`, whether or not there is one.
    pub const fn new(name: CollectionName) -> Self {
        Self { name }
    }

    /// The name.
    pub fn name(&self) -> &CollectionName {
        &self.name
    }

    /// The action that makes the diary.
    pub fn create(&self, mode: CreateMode, policy: CollectionPolicy) -> Action {
        let (version, options) = (DiaryType::VERSION, Bytes::new());
        self.action(ActionBody::Create { mode, version, policy, options })
    }

    /// The action that appends `entries` in order if the diary is as `expected`. Answered by a
    /// [`DiaryAnswer`](super::DiaryAnswer).
    pub fn append(&self, expected: ExpectedVersion, entries: Vec<Bytes>) -> Action {
        let operation = DiaryOperation { expected, entries };
        self.action(ActionBody::Apply(codec::encode(kind::DIARY_OPERATION, &operation)))
    }

    /// Where the diary begins and ends.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn ends<R: BlockReader + ?Sized>(&self, reader: &mut R) -> Result<ChainState, ReadError> {
        open(reader, &self.name, &DiaryType::type_name())?;
        Ok(CollectionState::read(reader, &self.name)?.chain)
    }

    /// How many entries were ever appended: the sequence of the next one.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn len<R: BlockReader + ?Sized>(&self, reader: &mut R) -> Result<u64, ReadError> {
        self.ends(reader).map(|chain| chain.next.0)
    }

    /// Entries from `from` on, oldest first; none where the diary ends.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the entry at `from` is no longer kept.
    pub fn read<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        from: Sequence,
        limit: ReadLimit,
    ) -> Result<Vec<ChainEntry>, ReadError> {
        let chain = self.ends(reader)?;
        check_kept(&chain, from)?;
        Ok(read_forward(reader, &chain, from, limit)?)
    }

    /// Entries from `from` down, newest first; `None` begins at the last.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the entry at `from` is no longer kept.
    pub fn read_back<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        from: Option<Sequence>,
        limit: ReadLimit,
    ) -> Result<Vec<ChainEntry>, ReadError> {
        let chain = self.ends(reader)?;
        let before = match from {
            Some(from) => {
                check_kept(&chain, from)?;
                Sequence(from.0.saturating_add(1)).min(chain.next)
            }
            None => chain.next,
        };
        Ok(read_backward(reader, &chain, before, limit)?)
    }

    /// The newest entry.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn last<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<Option<ChainEntry>, ReadError> {
        Ok(self.read_back(reader, None, ReadLimit::entries(1))?.pop())
    }

    fn action(&self, body: ActionBody) -> Action {
        Action { collection: self.name.clone(), type_name: DiaryType::type_name(), body }
    }
}

fn check_kept(chain: &ChainState, wanted: Sequence) -> Result<(), ReadError> {
    if wanted < chain.first {
        return Err(ReadError::Gone { wanted, first: chain.first });
    }
    Ok(())
}
