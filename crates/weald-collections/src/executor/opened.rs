//! A collection during one transaction.

use bytes::Bytes;
use weald_core::{
    ActionBody, Block, BlockId, BlockKind, DigestBuilder, Overlay, OverlayError, Revision,
    TypeName, codec,
};

use super::known::Ids;
use crate::{CollectionHeader, CollectionState, kind};

/// What a transaction knows of a collection that it looked at, and what it has done to it.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) id: BlockId,
    /// The id of the state block.
    state_id: BlockId,
    pub(crate) header: CollectionHeader,
    /// The state as the type sees and changes it.
    pub(crate) state: CollectionState,
    /// The state as the overlay holds it.
    written: CollectionState,
    /// The revision before this transaction.
    before: Revision,
    pub(crate) is_changed: bool,
    pub(crate) created: Option<TypeName>,
    pub(crate) appended: u64,
    pub(crate) notes: Vec<Bytes>,
    pub(crate) notes_bytes: usize,
    /// What was done, for the digest that a record of the change holds.
    actions: Vec<ActionBody>,
}

impl Opened {
    /// A collection by the ids of its header and state blocks.
    pub(crate) fn new(ids: Ids, header: CollectionHeader, state: CollectionState) -> Self {
        Self {
            id: ids.header,
            state_id: ids.state,
            header,
            state,
            written: state,
            before: state.revision,
            is_changed: false,
            created: None,
            appended: 0,
            notes: Vec::new(),
            notes_bytes: 0,
            actions: Vec::new(),
        }
    }

    /// The revision through this transaction.
    pub(crate) fn revision(&self) -> Revision {
        self.before.next()
    }

    pub(crate) fn note_action(&mut self, body: &ActionBody) {
        self.actions.push(body.clone());
    }

    pub(crate) fn actions_digest(&self) -> weald_core::Digest {
        let mut digest = DigestBuilder::new("weald actions");
        for action in &self.actions {
            match action {
                ActionBody::Apply(operation) => digest.number(1).part(operation),
                other => digest.number(2).part(&codec::encode(kind::ACTION, other)),
            };
        }
        digest.finish()
    }

    pub(crate) fn header_block(&self) -> Block {
        let payload = self.header.encode();
        Block { id: self.id, kind: BlockKind::HEADER, collection: self.id, payload }
    }

    pub(crate) fn state_block(&self) -> Block {
        Block {
            id: self.state_id,
            kind: BlockKind::STATE,
            collection: self.id,
            payload: self.written.encode(),
        }
    }

    /// Brings the state block up to date.
    pub(crate) fn flush(&mut self, overlay: &mut Overlay<'_>) -> Result<(), OverlayError> {
        if self.is_changed {
            self.state.revision = self.revision();
        }
        if let Some(splice) = self.state.splice_from(&self.written) {
            overlay.splice(self.state_id, vec![splice])?;
            self.written = self.state;
        }
        Ok(())
    }
}
