//! Diary against a vector, 10,000 operations a case, with reopening.

use proptest::prelude::*;
use weald_core::{Entropy, SeededEntropy};

use super::*;
use crate::chain::ChainVerifier;

const OPERATIONS: usize = 10_000;

struct Case {
    site: Site,
    model: Vec<Bytes>,
    entropy: SeededEntropy,
}

impl Case {
    fn new(seed: u64) -> Self {
        Self { site: site(), model: Vec::new(), entropy: SeededEntropy::new(seed) }
    }

    fn below(&mut self, bound: usize) -> usize {
        let drawn = u32::from_le_bytes(self.entropy.draw());
        usize::try_from(drawn).unwrap() % bound
    }

    fn entries(&mut self) -> Vec<Bytes> {
        let count = if self.below(10) == 0 { self.below(80) + 1 } else { 1 };
        let large = self.below(200) == 0;
        let len = if large { self.below(30_000) } else { self.below(64) };
        (0..count).map(|n| vec![n.to_le_bytes()[0]; len / count + n % 3].into()).collect()
    }

    fn step(&mut self) {
        match self.below(100) {
            0..60 => self.append(),
            60..75 => self.read_forward(),
            75..90 => self.read_backward(),
            90..95 => self.append_wrongly(),
            95..99 => self.last(),
            _ => self.reopen(),
        }
    }

    fn append(&mut self) {
        let entries = self.entries();
        let expected = match (self.below(3), self.model.len()) {
            (0, _) => ExpectedVersion::Any,
            (_, 0) => ExpectedVersion::Empty,
            (1, _) => ExpectedVersion::Exists,
            (_, len) => ExpectedVersion::Exact(Sequence(len as u64 - 1)),
        };
        let answers = self.site.run(&[raw("d").append(expected, entries.clone())]).unwrap();
        let first = DiaryAnswer::decode(&answers[0]).unwrap().first;
        assert_eq!(first.0, self.model.len() as u64);
        self.model.extend(entries);
    }

    fn append_wrongly(&mut self) {
        let expected = ExpectedVersion::Exact(Sequence(self.model.len() as u64));
        let entries = self.entries();
        // The first append of the transaction is taken back with the second.
        let good = raw("d").append(ExpectedVersion::Any, entries.clone());
        let refused = self.site.run(&[good, raw("d").append(expected, vec!["x".into(); 2])]);
        let holds = entries.len() == 1;
        assert_eq!(refused.is_ok(), holds, "entries={}", entries.len());
        if holds {
            self.model.extend(entries);
            self.model.extend(["x".into(), "x".into()]);
        }
    }

    fn read_forward(&mut self) {
        let (len, count) = (self.model.len(), self.below(100));
        let from = self.below(len + 1);
        let limit = ReadLimit::entries(count);
        let mut reader = SourceReader(&self.site.source);
        let read = raw("d").read(&mut reader, Sequence(from as u64), limit).unwrap();
        let expected = &self.model[from..len.min(from + count)];
        assert!(read.iter().map(|entry| &entry.payload).eq(expected));
        assert!(read.iter().map(|entry| entry.sequence.0).eq((from as u64..).take(read.len())));
    }

    fn read_backward(&mut self) {
        if self.model.is_empty() {
            return;
        }
        let (from, count) = (self.below(self.model.len()), self.below(100));
        let limit = ReadLimit::entries(count);
        let mut reader = SourceReader(&self.site.source);
        let read = raw("d").read_back(&mut reader, Some(Sequence(from as u64)), limit).unwrap();
        let expected = self.model[..=from].iter().rev().take(count);
        assert!(read.iter().map(|entry| &entry.payload).eq(expected));
    }

    fn last(&mut self) {
        let last = raw("d").last(&mut SourceReader(&self.site.source)).unwrap();
        assert_eq!(last.map(|entry| entry.payload).as_ref(), self.model.last());
    }

    /// Nothing but the blocks survives.
    fn reopen(&mut self) {
        let (blocks, index) = (self.site.source.blocks.clone(), self.site.index);
        let bare = Site::new(vec![Arc::new(DiaryType)]);
        self.site = Site { index, ..bare };
        self.site.source.blocks = blocks;
    }

    fn check_all(&mut self) {
        let mut reader = SourceReader(&self.site.source);
        let chain = raw("d").ends(&mut reader).unwrap();
        assert_eq!(ChainVerifier::new(&chain).run(&mut reader), Ok(self.model.len() as u64));
        let limit = ReadLimit::entries(usize::MAX);
        let read = raw("d").read(&mut reader, Sequence(0), limit).unwrap();
        assert!(read.iter().map(|entry| &entry.payload).eq(&self.model));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn a57_a_diary_agrees_with_a_vector_over_many_operations(seed in any::<u64>()) {
        let mut case = Case::new(seed);
        for _ in 0..OPERATIONS {
            case.step();
        }
        case.check_all();
    }
}
