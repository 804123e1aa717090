//! A chain against a queue: any sequence of appends and removals at both ends.

use std::collections::VecDeque;

use bytes::Bytes;
use weald_collections::ChainState;
use weald_collections::chain::{
    ChainVerifier, EntryStamp, ReadLimit, append, dequeue, pop, read_backward, read_forward,
    retain, seek_revision,
};
use weald_core::{LogIndex, PlacementKey, Retention, Revision, Sequence, Time, TransactionId};

use crate::blocks::Blocks;
use crate::script::Script;

/// A revision and a payload, as the model keeps them.
type Entry = (Revision, Bytes);

struct Subject {
    blocks: Blocks,
    chain: ChainState,
    model: VecDeque<Entry>,
}

/// Reads `data` as operations; the chain agrees with the queue after each.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut subject =
        Subject { blocks: Blocks::new(), chain: ChainState::default(), model: VecDeque::new() };
    let mut count = 0;
    while !script.is_finished() && count < 200 {
        subject.step(&mut script);
        subject.check();
        count += 1;
    }
    subject.check_reads(&mut script);
}

impl Subject {
    fn step(&mut self, script: &mut Script<'_>) {
        self.blocks.revision = self.blocks.revision.next();
        match script.below(8) {
            0 => self.remove_first(script.below(70)),
            1 => self.remove_last(script.below(70)),
            2 => self.keep_newest(script.below(100)),
            3 => self.add(vec![Bytes::from(vec![script.byte(); script.below(20_000)])]),
            _ => {
                let count = script.below(70);
                let payloads =
                    (0..count).map(|_| Bytes::copy_from_slice(script.bytes(40))).collect();
                self.add(payloads);
            }
        }
    }

    fn add(&mut self, payloads: Vec<Bytes>) {
        let revision = self.blocks.revision;
        let transaction = TransactionId::new(PlacementKey::from_u64(1), [1; 16]);
        let stamp = EntryStamp {
            revision,
            transaction,
            index: LogIndex(revision.0),
            time: Time::from_millis(revision.0),
        };
        let expected = self.chain.next;
        let first = append(&mut self.blocks, &mut self.chain, &stamp, &payloads)
            .expect("every block is here");
        assert_eq!(first, expected);
        self.model.extend(payloads.into_iter().map(|payload| (revision, payload)));
    }

    fn remove_first(&mut self, count: usize) {
        let taken = dequeue(&mut self.blocks, &mut self.chain, count).expect("every block is here");
        let count = count.min(self.model.len());
        let expected: Vec<Entry> = self.model.drain(..count).collect();
        assert_eq!(
            taken.into_iter().map(|entry| (entry.revision, entry.payload)).collect::<Vec<_>>(),
            expected
        );
    }

    fn remove_last(&mut self, count: usize) {
        let taken = pop(&mut self.blocks, &mut self.chain, count).expect("every block is here");
        let count = count.min(self.model.len());
        let mut expected: Vec<Entry> = self.model.drain(self.model.len() - count..).collect();
        expected.reverse();
        assert_eq!(
            taken.into_iter().map(|entry| (entry.revision, entry.payload)).collect::<Vec<_>>(),
            expected
        );
    }

    /// A bounded number goes in one call, so the model follows what the chain did.
    fn keep_newest(&mut self, entries_max: usize) {
        let retention =
            Retention { entries_max: u64::try_from(entries_max).ok(), ..Retention::ALL };
        let had = self.chain.len();
        let now = Time::from_millis(self.blocks.revision.0);
        let moved = retain(&mut self.blocks, &mut self.chain, &retention, now, 0)
            .expect("every block is here");
        let gone = usize::try_from(had - self.chain.len()).expect("few entries");
        assert_eq!(moved, gone > 0);
        assert!(
            gone == 0 || self.model.len() - gone >= entries_max.max(1),
            "retention took what it had to keep"
        );
        self.model.drain(..gone);
    }

    fn check(&mut self) {
        let chain = &self.chain;
        assert_eq!(chain.len(), self.model.len() as u64);
        assert_eq!(
            chain.bytes,
            self.model.iter().map(|(_, payload)| payload.len() as u64).sum::<u64>()
        );
        let verified =
            ChainVerifier::new(chain).run(&mut self.blocks).expect("the chain is intact");
        assert_eq!(verified, self.model.len() as u64);
        assert!(
            self.model.is_empty() || self.blocks.len() <= self.model.len(),
            "a block without entries was left"
        );
    }

    fn check_reads(&mut self, script: &mut Script<'_>) {
        let (chain, all) = (self.chain, ReadLimit::entries(usize::MAX));
        let forward =
            read_forward(&mut self.blocks, &chain, chain.first, all).expect("every block is here");
        let mut backward =
            read_backward(&mut self.blocks, &chain, chain.next, all).expect("every block is here");
        backward.reverse();
        assert_eq!(forward, backward);
        assert!(
            forward
                .iter()
                .map(|entry| (entry.revision, &entry.payload))
                .eq(self.model.iter().map(|(r, p)| (*r, p)))
        );
        let wanted = Revision(script.below(300) as u64);
        let found = seek_revision(&mut self.blocks, &chain, wanted).expect("every block is here");
        let expected = self
            .model
            .iter()
            .position(|(revision, _)| *revision >= wanted)
            .unwrap_or(self.model.len());
        assert_eq!(found, Sequence(chain.first.0 + expected as u64));
    }
}
