//! The bodies of messages in their tree.
//!
//! A message is kept under its position. One with a large body is kept there without it, and the
//! body in chunks under the position and the chunk's number, right behind it. A chunk that fills a
//! leaf has it for itself, so that who reads one reads no other.

use std::{
    cmp::Ordering,
    ops::{Bound, Range},
};

use bytes::Bytes;
use weald_collections::{
    BlockReader, Stop,
    btree::{Direction, Scan},
};
use weald_core::{BlockId, Fault, Halt};

use super::{
    blocks::{bodies, tree_error, unreadable},
    books::OpenTopic,
};
use crate::{
    LargeMessage, Message, MessageEntry, TopicPosition,
    limits::{BODY_CHUNK_BYTES, PRUNE_LEAVES_MAX},
};

/// Bytes of a message's key: its position.
const MESSAGE_KEY_LEN: usize = 8;
/// Bytes of a chunk's key.
const CHUNK_KEY_LEN: usize = MESSAGE_KEY_LEN + 4;
/// A body with more bytes fills a leaf, or almost.
const LEAF_FILLING_BYTES: u32 = 4 * 1024;

fn message_key(position: TopicPosition) -> [u8; MESSAGE_KEY_LEN] {
    position.0.to_be_bytes()
}

fn chunk_key(position: TopicPosition, nth: u32) -> [u8; CHUNK_KEY_LEN] {
    let mut key = [0; CHUNK_KEY_LEN];
    key[..MESSAGE_KEY_LEN].copy_from_slice(&message_key(position));
    key[MESSAGE_KEY_LEN..].copy_from_slice(&nth.to_be_bytes());
    key
}

impl OpenTopic<'_, '_, '_> {
    /// Keeps a message at a position.
    pub(super) fn put_body(
        &mut self,
        position: TopicPosition,
        message: &Message,
    ) -> Result<(), Stop> {
        let Some(large) = LargeMessage::of(message) else {
            return self.put_bytes(&message_key(position), &message.encode());
        };
        self.put_bytes(&message_key(position), &large.encode())?;
        for (nth, chunk) in (0..).zip(message.body.chunks(BODY_CHUNK_BYTES)) {
            self.put_bytes(&chunk_key(position, nth), chunk)?;
        }
        Ok(())
    }

    /// Removes what is kept of an entry. The last chunk goes first: a leaf that gets empty joins the
    /// one before it, so that no other chunk is written again.
    pub(super) fn delete_body(&mut self, entry: &MessageEntry) -> Result<(), Stop> {
        for nth in (0..entry.chunk_count()).rev() {
            self.delete_bytes(&chunk_key(entry.position, nth))?;
        }
        self.delete_bytes(&message_key(entry.position))
    }

    fn put_bytes(&mut self, key: &[u8], value: &[u8]) -> Result<(), Stop> {
        bodies(self.root.bodies).put(self.scope, key, value).map_err(tree_error)?;
        Ok(())
    }

    fn delete_bytes(&mut self, key: &[u8]) -> Result<(), Stop> {
        bodies(self.root.bodies).delete(self.scope, key).map_err(tree_error)?;
        Ok(())
    }
}

/// The first of `entries` whose bodies one prune removes: at least one of them, and of more as many
/// as have [`PRUNE_LEAVES_MAX`] leaves.
pub(super) fn removable(mut entries: Vec<MessageEntry>) -> Vec<MessageEntry> {
    let mut leaves = 0;
    let is_over = |entry: &MessageEntry| {
        leaves += leaves_of(entry);
        leaves > PRUNE_LEAVES_MAX
    };
    let over = entries.iter().position(is_over);
    entries.truncate(over.map_or(usize::MAX, |nth| nth.max(1)));
    entries
}

/// Leaves that a body has for itself; of those that it shares with others there are few.
fn leaves_of(entry: &MessageEntry) -> u64 {
    match entry.chunk_count() {
        0 => u64::from(entry.bytes > LEAF_FILLING_BYTES),
        count => u64::from(count),
    }
}

/// What is kept under the position of a message.
pub(super) enum Kept {
    /// The message.
    Whole(Message),
    /// What is kept beside the chunks of its body.
    Large(LargeMessage),
}

/// What is kept under the positions of those `entries` that are `wanted`, in order; no chunks are read.
pub(super) fn kept<R: BlockReader + ?Sized>(
    reader: &mut R,
    root: BlockId,
    entries: &[MessageEntry],
    wanted: impl Fn(&MessageEntry) -> bool,
) -> Result<Vec<(MessageEntry, Kept)>, Halt> {
    let mut found = Vec::with_capacity(entries.len());
    // Behind a large message stand its chunks: a scan ends there.
    for run in entries.split_inclusive(|entry| entry.chunk_count() > 0) {
        let mut scan = Run::of(reader, root, run);
        for entry in run.iter().filter(|entry| wanted(entry)) {
            found.push((*entry, scan.kept(entry)?));
        }
    }
    Ok(found)
}

/// The message of an entry, with its body.
pub(super) fn whole<R: BlockReader + ?Sized>(
    reader: &mut R,
    root: BlockId,
    (entry, kept): (&MessageEntry, Kept),
) -> Result<Message, Halt> {
    match kept {
        Kept::Whole(message) => Ok(message),
        Kept::Large(large) => {
            let range = 0..large.chunk_count();
            let chunks = chunks(reader, root, (entry.position, &large), range)?;
            Ok(large.joined(&chunks))
        }
    }
}

/// Chunks of a large message. Those whose blocks are not in memory are asked for together.
pub(super) fn chunks<R: BlockReader + ?Sized>(
    reader: &mut R,
    root: BlockId,
    (position, large): (TopicPosition, &LargeMessage),
    range: Range<u32>,
) -> Result<Vec<Bytes>, Halt> {
    let (mut found, mut needed) = (Vec::new(), Vec::new());
    for nth in range {
        match bodies(root).get(reader, &chunk_key(position, nth)) {
            Ok(Some(chunk)) if chunk.value.len() == large.chunk_bytes(nth) => {
                found.push(chunk.value);
            }
            Ok(Some(_)) => return Err(damaged(root, "a chunk has another length", position)),
            Ok(None) => return Err(damaged(root, "a chunk is not there", position)),
            Err(Halt::Need(ids)) => needed.extend(ids),
            Err(fault) => return Err(fault),
        }
    }
    if needed.is_empty() {
        return Ok(found);
    }
    needed.sort();
    needed.dedup();
    Err(Halt::Need(needed))
}

/// How many messages the tree has. Chunks of no message in it are damage.
pub(super) fn count<R: BlockReader + ?Sized>(reader: &mut R, root: BlockId) -> Result<u64, Halt> {
    let everything = weald_collections::btree::EVERYTHING;
    let (mut count, mut last) = (0, Bytes::new());
    for entry in bodies(root).range(reader, everything, Direction::Forward) {
        let key = entry?.key;
        if key.len() == MESSAGE_KEY_LEN {
            (count, last) = (count + 1, key);
        } else if last.is_empty() || !key.starts_with(&last) {
            let detail = "a chunk is of no message".to_owned();
            return Err(Fault::Damaged { id: root, detail }.into());
        }
    }
    Ok(count)
}

/// What is kept of entries that follow one another, read in one pass over their tree.
struct Run<'r, R: ?Sized> {
    root: BlockId,
    scan: Scan<'r, R>,
}

impl<'r, R: BlockReader + ?Sized> Run<'r, R> {
    fn of(reader: &'r mut R, root: BlockId, entries: &[MessageEntry]) -> Self {
        let key = |entry: Option<&MessageEntry>| {
            message_key(entry.map_or(TopicPosition::ZERO, |entry| entry.position))
        };
        let (first, last) = (key(entries.first()), key(entries.last()));
        let bounds = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let scan = bodies(root).range(reader, bounds, Direction::Forward);
        Self { root, scan }
    }

    /// What is kept of an entry behind those before.
    fn kept(&mut self, entry: &MessageEntry) -> Result<Kept, Halt> {
        let key = message_key(entry.position);
        for found in self.scan.by_ref() {
            let found = found?;
            match found.key[..].cmp(&key[..]) {
                Ordering::Less => {}
                Ordering::Equal => {
                    let kept = match entry.chunk_count() {
                        0 => Message::decode(&found.value).map(Kept::Whole),
                        _ => LargeMessage::decode(&found.value).map(Kept::Large),
                    };
                    return kept.map_err(|error| unreadable(self.root, &error));
                }
                Ordering::Greater => break,
            }
        }
        Err(damaged(self.root, "a body is not there", entry.position))
    }
}

fn damaged(root: BlockId, what: &str, position: TopicPosition) -> Halt {
    Fault::Damaged { id: root, detail: format!("{what}: position={position}") }.into()
}
