//! A collection type that does what its operation says, good or bad.

use bytes::Bytes;
use weald_core::{
    Action, ActionBody, BlockId, BlockKind, CollectionPolicy, CreateMode, Rejection, Splice,
    TypeName, TypeVersion, limits::BLOCK_BYTES_MAX,
};

use crate::{BlockReader, BlockWriter, CollectionType, Scope, Stop};

/// The type `probe`: a root block of bytes.
pub(super) struct Probe;

const ROOT: BlockKind = BlockKind::STRUCTURE_FIRST;

pub(super) fn probe(name: &str, operation: &str) -> Action {
    Action {
        collection: name.parse().unwrap(),
        type_name: Probe.name(),
        body: ActionBody::Apply(Bytes::copy_from_slice(operation.as_bytes())),
    }
}

pub(super) fn probe_create(name: &str, mode: CreateMode) -> Action {
    let (version, policy) = (TypeVersion(1), CollectionPolicy::default());
    let body = ActionBody::Create { mode, version, policy, options: Bytes::new() };
    Action { body, ..probe(name, "") }
}

impl CollectionType for Probe {
    fn name(&self) -> TypeName {
        "probe".parse().unwrap()
    }

    fn version(&self) -> TypeVersion {
        TypeVersion(1)
    }

    fn create(&self, scope: &mut Scope<'_, '_>, options: &[u8]) -> Result<Bytes, Stop> {
        assert!(options != b"panic", "asked to");
        let root = scope.insert(ROOT, Bytes::new())?;
        Ok(Bytes::copy_from_slice(&root.to_bytes()))
    }

    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop> {
        let root = BlockId::from_bytes(scope.header().root[..].try_into().unwrap());
        let text = std::str::from_utf8(operation).unwrap();
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "add" => add(scope, root, rest)?,
            "items" => scope.set_items(rest.parse().unwrap()),
            "refuse" => {
                add(scope, root, "gone")?;
                return Err(Rejection::Custom { code: 7, detail: rest.to_owned() }.into());
            }
            "panic" => {
                add(scope, root, "gone")?;
                scope.set_items(99);
                panic!("asked to: {:?}", scope.time());
            }
            // Code that should not be: it takes trouble for an answer.
            "swallow" => {
                let seen = scope.read(root).is_ok();
                return Ok(Bytes::from(if seen { "warm" } else { "cold" }));
            }
            "swallow-missing" => {
                let _ = scope.expect(BlockId::header(&"nobody".parse().unwrap()), ROOT);
            }
            "unwrap" => drop(scope.read(root).unwrap()),
            "blocks" => {
                for _ in 0..rest.parse().unwrap() {
                    scope.insert(ROOT, Bytes::from_static(b"x"))?;
                }
            }
            "churn" => {
                for _ in 0..rest.parse().unwrap() {
                    let id = scope.insert(ROOT, Bytes::from_static(b"x"))?;
                    scope.delete(id)?;
                }
            }
            "bytes" => {
                let payload = Bytes::from(vec![0; 1 << 20]);
                for _ in 0..rest.parse().unwrap() {
                    scope.insert(ROOT, payload.clone())?;
                }
            }
            "huge" => drop(scope.insert(ROOT, vec![0; BLOCK_BYTES_MAX + 1].into())?),
            "swell" => {
                let splice = Splice::new(0, 0, vec![0; BLOCK_BYTES_MAX]);
                add(scope, root, "x")?;
                scope.splice(root, vec![splice])?;
            }
            "note" => scope.note_change(vec![0; rest.parse().unwrap()].into()),
            "answer" => return Ok(vec![0; rest.parse().unwrap()].into()),
            "foreign" => {
                let other = BlockId::header(&rest.parse().unwrap());
                scope.splice(other, vec![Splice::new(0, 0, "x".as_bytes())])?;
            }
            "append" => drop(scope.append(&[Bytes::from_static(b"x")])?),
            "read" => {}
            _ => return Err(Rejection::Invalid { detail: text.to_owned() }.into()),
        }
        let stored = scope.expect(root, ROOT)?;
        Ok(stored.block.payload.clone())
    }
}

fn add(scope: &mut Scope<'_, '_>, root: BlockId, text: &str) -> Result<(), Stop> {
    let len = scope.expect(root, ROOT)?.block.payload.len();
    scope.splice(root, vec![Splice::new(len, 0, text.as_bytes().to_vec())])?;
    scope.note_change(Bytes::copy_from_slice(text.as_bytes()));
    Ok(())
}
