//! Entries of a replicated log, as they are stored and sent.

use bytes::Bytes;
use weald_cluster::replica::{EntryKind, LogEntry, Point};
use weald_core::{Epoch, LogIndex};

use crate::script::Script;

/// Reads a place and an entry there, and lets another follow it.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let index = LogIndex([0, 1, 7, u64::MAX - 1, u64::MAX][script.below(5)]);
    let epoch = Epoch { number: script.byte().into(), campaigner: None };
    let bytes = Bytes::copy_from_slice(script.bytes(data.len()));
    let Ok(entry) = LogEntry::parse(index, epoch, bytes.clone()) else { return };
    assert_eq!(LogEntry::parse(index, epoch, entry.record().bytes), Ok(entry.clone()));
    assert_eq!((entry.index(), entry.record().bytes), (index, bytes));
    assert_eq!(entry.carried().is_some(), entry.kind() == EntryKind::Configuration);
    assert!(!entry.continues(entry.point()), "an entry does not follow itself");
    let before = Point { index: LogIndex(index.0.saturating_sub(2)), epoch, hash: entry.hash() };
    let made = LogEntry::new(&before, epoch, entry.time(), (EntryKind::Command, &entry.payload()));
    assert!(made.continues(&before));
    let parsed = LogEntry::parse(made.index(), epoch, made.record().bytes);
    assert_eq!(parsed.as_ref(), Ok(&made), "what is made can be read");
}
