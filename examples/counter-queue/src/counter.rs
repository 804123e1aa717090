//! A counter between zero and a maximum.

use bytes::Bytes;
use weald_collections::{BlockReader, BlockWriter, CollectionType, Resolution, Scope, Stop};
use weald_core::{
    Action, BlockId, BlockKind, CollectionChange, CollectionName, Splice, TypeName, TypeVersion,
};

use crate::{apply, number, refused};

const VALUE: BlockKind = BlockKind::STRUCTURE_FIRST;

/// The type `counter`. Options: the maximum. Operation: what to add. Answer: the new value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter;

impl Counter {
    /// The action that adds `amount`.
    pub fn add(name: &CollectionName, amount: i64) -> Action {
        apply(&Self, name, amount.to_le_bytes().to_vec().into())
    }
}

impl CollectionType for Counter {
    fn name(&self) -> TypeName {
        "counter".parse().expect("a valid name")
    }

    fn version(&self) -> TypeVersion {
        TypeVersion(1)
    }

    fn create(&self, scope: &mut Scope<'_, '_>, options: &[u8]) -> Result<Bytes, Stop> {
        number(options)?;
        let block = scope.insert(VALUE, vec![0; 8].into())?;
        Ok(block.to_bytes().to_vec().into())
    }

    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop> {
        let (amount, most) = (number(operation)?, number(&scope.header().options)?);
        let root = scope.header().root[..].try_into();
        let block = BlockId::from_bytes(root.map_err(|_| refused(1, "not a counter"))?);
        let value = number(&scope.expect(block, VALUE)?.block.payload)?.saturating_add(amount);
        if !(0..=most).contains(&value) {
            return Err(refused(2, "the counter would leave its bounds"));
        }
        let bytes = Bytes::copy_from_slice(&value.to_le_bytes());
        scope.splice(block, vec![Splice::new(0, 8, bytes.clone())])?;
        scope.note_change(bytes.clone());
        Ok(bytes)
    }

    /// Additions commute: whatever was committed instead, this one still holds.
    fn resolve_conflict(&self, _: &[u8], _: &[CollectionChange]) -> Resolution {
        Resolution::Keep
    }
}
