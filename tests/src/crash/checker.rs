//! What must hold after every kill.

use std::collections::BTreeMap;

use super::{Ack, Entry, Found, Kind, Mark};

/// A promise that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged write is not there.
    Lost(String),
    /// A write is there that no caller can have made.
    Invented(String),
    /// Part of a transaction is there and part is not.
    Torn(String),
    /// Sequences are not 0, 1, 2 and so on.
    Gap(String),
    /// A revision or a number of entries went back.
    WentBack(String),
}

/// Gathers acknowledgements and compares them with what a reopened database holds.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    acked: BTreeMap<(Kind, u32), Mark>,
    sequences: BTreeMap<u64, Mark>,
    revisions: BTreeMap<String, u64>,
}

impl Checker {
    /// Notes an acknowledged write.
    pub fn acknowledge(&mut self, ack: Ack) {
        let newest = self.acked.entry((ack.kind, ack.mark.caller)).or_insert(ack.mark);
        *newest = ack.mark.max(*newest);
        if ack.kind == Kind::Append {
            self.sequences.insert(ack.place, ack.mark);
        }
    }

    /// Compares with what is found and remembers it for the next time.
    ///
    /// # Errors
    /// Every promise that does not hold.
    pub fn check(&mut self, found: &Found) -> Result<(), Vec<Violation>> {
        let mut violations = Vec::new();
        self.check_latest(Kind::Put, &found.solo, &mut violations);
        self.check_latest(Kind::Append, &newest_by_caller(&found.journal), &mut violations);
        self.check_latest(Kind::Transaction, &found.marks, &mut violations);
        self.check_sequences(&found.journal, &mut violations);
        check_entries("journal", &found.journal, &mut violations);
        check_entries("moves", &found.moves, &mut violations);
        check_torn(found, &mut violations);
        self.check_revisions(&found.revisions, &mut violations);
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }

    /// The newest write of each caller is the newest acknowledged one or the one that was under way.
    fn check_latest(
        &self,
        kind: Kind,
        found: &BTreeMap<u32, Mark>,
        violations: &mut Vec<Violation>,
    ) {
        for ((_, caller), acked) in self.acked.iter().filter(|((of, _), _)| *of == kind) {
            let text =
                || format!("{kind:?} caller={caller} acked={acked} found={:?}", found.get(caller));
            match found.get(caller) {
                None => violations.push(Violation::Lost(text())),
                Some(mark) if mark < acked => violations.push(Violation::Lost(text())),
                Some(mark) if mark.generation == acked.generation => {
                    if mark.number > acked.number + 1 {
                        violations.push(Violation::Invented(text()));
                    }
                }
                Some(mark) if mark.number > 1 => violations.push(Violation::Invented(text())),
                Some(_) => {}
            }
        }
    }

    /// Each acknowledged append stands at the sequence that was answered.
    fn check_sequences(&self, journal: &[Entry], violations: &mut Vec<Violation>) {
        let by_sequence: BTreeMap<u64, Mark> =
            journal.iter().map(|entry| (entry.sequence, entry.mark)).collect();
        for (sequence, acked) in &self.sequences {
            let found = by_sequence.get(sequence);
            if found != Some(acked) {
                let text = format!("sequence={sequence} acked={acked} found={found:?}");
                violations.push(Violation::Lost(text));
            }
        }
    }

    fn check_revisions(&mut self, found: &BTreeMap<String, u64>, violations: &mut Vec<Violation>) {
        for (name, before) in &self.revisions {
            let revision = found.get(name);
            if revision.is_none_or(|revision| revision < before) {
                let text = format!("{name}: before={before} found={revision:?}");
                violations.push(Violation::WentBack(text));
            }
        }
        self.revisions.extend(found.iter().map(|(name, revision)| (name.clone(), *revision)));
    }
}

/// Sequences are gapless from 0; each caller's writes are there once, in order, without a hole.
fn check_entries(diary: &str, entries: &[Entry], violations: &mut Vec<Violation>) {
    let mut newest: BTreeMap<u32, Mark> = BTreeMap::new();
    for (entry, sequence) in entries.iter().zip(0..) {
        if entry.sequence != sequence {
            let text = format!("{diary}: expected={sequence} found={}", entry.sequence);
            violations.push(Violation::Gap(text));
            return;
        }
        let mark = entry.mark;
        let before = newest.insert(mark.caller, mark);
        let follows = match before {
            Some(before) if before.generation == mark.generation => {
                mark.number == before.number + 1
            }
            Some(before) => mark.generation > before.generation && mark.number == 1,
            None => mark.number == 1,
        };
        if !follows {
            let text = format!("{diary}: sequence={sequence} before={before:?} mark={mark}");
            violations.push(Violation::Lost(text));
        }
    }
}

/// The parts of the newest transaction of each caller are all there.
fn check_torn(found: &Found, violations: &mut Vec<Violation>) {
    let moves = newest_by_caller(&found.moves);
    if moves != found.marks || found.marks != found.marks_copy {
        violations.push(Violation::Torn(format!(
            "moves={moves:?} marks={:?} copy={:?}",
            found.marks, found.marks_copy
        )));
    }
}

fn newest_by_caller(entries: &[Entry]) -> BTreeMap<u32, Mark> {
    entries.iter().map(|entry| (entry.mark.caller, entry.mark)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mark(generation: u32, caller: u32, number: u64) -> Mark {
        Mark { generation, number, caller }
    }

    const fn entry(sequence: u64, mark: Mark) -> Entry {
        Entry { sequence, mark }
    }

    /// Two callers, three writes acknowledged, all of them there.
    fn intact() -> (Checker, Found) {
        let mut checker = Checker::default();
        let newest = mark(1, 0, 2);
        checker.acknowledge(Ack { kind: Kind::Put, mark: newest, place: 2 });
        checker.acknowledge(Ack { kind: Kind::Append, mark: mark(1, 1, 1), place: 1 });
        checker.acknowledge(Ack { kind: Kind::Transaction, mark: newest, place: 2 });
        let found = Found {
            solo: BTreeMap::from([(0, newest)]),
            marks: BTreeMap::from([(0, newest)]),
            marks_copy: BTreeMap::from([(0, newest)]),
            journal: vec![entry(0, mark(1, 0, 1)), entry(1, mark(1, 1, 1))],
            moves: vec![entry(0, mark(1, 0, 1)), entry(1, newest)],
            revisions: BTreeMap::from([("solo".to_owned(), 2)]),
        };
        (checker, found)
    }

    fn violations_after(change: impl FnOnce(&mut Found)) -> Vec<Violation> {
        let (mut checker, mut found) = intact();
        assert_eq!(checker.check(&found), Ok(()));
        change(&mut found);
        checker.check(&found).unwrap_err()
    }

    #[test]
    fn the_checker_sees_a_lost_write() {
        let lost = |violations: Vec<Violation>| {
            assert!(violations.iter().any(|v| matches!(v, Violation::Lost(_))), "{violations:?}");
        };
        lost(violations_after(|found| {
            found.solo.insert(0, mark(1, 0, 1));
        }));
        lost(violations_after(|found| found.solo.clear()));
        lost(violations_after(|found| {
            found.journal.pop();
        }));
        lost(violations_after(|found| found.journal[1].mark = mark(1, 2, 1)));
        lost(violations_after(|found| found.moves[0].mark = mark(1, 0, 2)));
    }

    #[test]
    fn the_checker_sees_a_torn_transaction() {
        let torn = |violations: Vec<Violation>| {
            assert!(violations.iter().any(|v| matches!(v, Violation::Torn(_))), "{violations:?}");
        };
        torn(violations_after(|found| {
            found.moves.pop();
        }));
        torn(violations_after(|found| {
            found.marks_copy.insert(0, mark(1, 0, 1));
        }));
    }

    #[test]
    fn the_checker_sees_gaps_steps_back_and_inventions() {
        let gap = violations_after(|found| found.moves[1].sequence = 3);
        assert!(gap.iter().any(|v| matches!(v, Violation::Gap(_))), "{gap:?}");
        let back = violations_after(|found| {
            found.revisions.insert("solo".to_owned(), 1);
        });
        assert!(back.iter().any(|v| matches!(v, Violation::WentBack(_))), "{back:?}");
        let invented = violations_after(|found| {
            found.solo.insert(0, mark(1, 0, 4));
        });
        assert!(invented.iter().any(|v| matches!(v, Violation::Invented(_))), "{invented:?}");
    }

    #[test]
    fn the_write_under_way_may_be_there() {
        let (mut checker, mut found) = intact();
        found.solo.insert(0, mark(1, 0, 3));
        assert_eq!(checker.check(&found), Ok(()));
        found.solo.insert(0, mark(2, 0, 1));
        assert_eq!(checker.check(&found), Ok(()));
    }
}
