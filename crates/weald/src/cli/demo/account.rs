//! What was acknowledged against what is found.

use std::collections::{BTreeMap, BTreeSet};

use weald::{Sequence, Weald};

use super::{JOURNAL, LATEST};
use crate::cli::failure::Failure;

/// Entries of the diary read at once.
const PAGE_ENTRIES: usize = 256;

/// The highest acknowledged number of each caller. A caller writes 1, 2, 3 and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledged(BTreeMap<u32, u64>);

impl Acknowledged {
    /// Notes what a caller was told.
    pub(super) fn note(&mut self, caller: u32, number: u64) {
        let latest = self.0.entry(caller).or_default();
        *latest = number.max(*latest);
    }

    /// Acknowledged transactions of all callers.
    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// The comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    acknowledged: Acknowledged,
    journal: BTreeMap<u32, Vec<u64>>,
    latest: BTreeMap<u32, u64>,
}

impl Account {
    /// Reads what the database holds.
    pub(super) async fn read(node: &Weald, acknowledged: Acknowledged) -> Result<Self, Failure> {
        let mut account = Self { acknowledged, ..Self::default() };
        let journal = node.raw_diary(JOURNAL).open().await?;
        let mut from = Sequence(0);
        loop {
            let page = journal.read(from, PAGE_ENTRIES).await?;
            let Some(last) = page.last() else { break };
            from = Sequence(last.sequence.0 + 1);
            for entry in &page {
                let (caller, number) = parse_pair(&entry.entry)?;
                account.journal.entry(caller).or_default().push(number);
            }
        }
        let latest = node.raw_tree(LATEST).open().await?;
        let mut pages = latest.range::<&[u8]>(..).pages().await?;
        while let Some(page) = pages.next().await? {
            for entry in &page {
                let text = [entry.key.as_ref(), b" ", entry.value.as_ref()].concat();
                let (caller, number) = parse_pair(&text)?;
                account.latest.insert(caller, number);
            }
        }
        Ok(account)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.total()
    }

    /// Transactions found in the diary.
    pub(super) fn found(&self) -> u64 {
        self.journal.values().map(|numbers| numbers.len() as u64).sum()
    }

    /// The number that the tree holds for a caller.
    pub(super) fn found_latest(&self, caller: u32) -> u64 {
        self.latest.get(&caller).copied().unwrap_or(0)
    }

    /// Acknowledged transactions whose entry the diary does not hold at its place in the caller's
    /// order.
    pub(super) fn lost(&self) -> u64 {
        let lost = |(caller, acknowledged): (&u32, &u64)| {
            let numbers = self.journal.get(caller).map_or(&[][..], Vec::as_slice);
            let in_order = numbers.iter().zip(1..).take_while(|(found, n)| **found == *n).count();
            acknowledged.saturating_sub(in_order as u64)
        };
        self.acknowledged.0.iter().map(lost).sum()
    }

    /// Entries of the diary that repeat one before.
    pub(super) fn doubled(&self) -> u64 {
        let distinct = |numbers: &Vec<u64>| numbers.iter().collect::<BTreeSet<_>>().len() as u64;
        self.found() - self.journal.values().map(distinct).sum::<u64>()
    }

    /// Callers whose diary entries and tree value do not end at the same transaction.
    pub(super) fn torn(&self) -> u64 {
        let callers =
            self.acknowledged.0.keys().chain(self.journal.keys()).chain(self.latest.keys());
        let callers: BTreeSet<&u32> = callers.collect();
        let is_torn = |caller: &u32| {
            let last = self.journal.get(caller).and_then(|numbers| numbers.last()).copied();
            last.unwrap_or(0) != self.found_latest(*caller)
        };
        callers.into_iter().filter(|caller| is_torn(caller)).count() as u64
    }

    /// One line a caller and one for all.
    pub(super) fn table(&self) -> String {
        let row = |who: &str, acknowledged: u64, diary: u64, tree: u64| {
            format!("{who:>8}  {acknowledged:>12}  {diary:>13}  {tree:>12}")
        };
        let mut lines = vec![format!(
            "{:>8}  {:>12}  {:>13}  {:>12}",
            "caller", "acknowledged", "diary entries", "tree value"
        )];
        for (caller, acknowledged) in &self.acknowledged.0 {
            let entries = self.journal.get(caller).map_or(0, |numbers| numbers.len() as u64);
            let who = caller.to_string();
            lines.push(row(&who, *acknowledged, entries, self.found_latest(*caller)));
        }
        let in_tree = self.latest.values().sum();
        lines.push(row("all", self.acknowledged(), self.found(), in_tree));
        lines.join("\n")
    }
}

fn parse_pair(bytes: &[u8]) -> Result<(u32, u64), Failure> {
    pair(bytes).ok_or_else(|| Failure::internal("the demo's database holds something else"))
}

fn pair(bytes: &[u8]) -> Option<(u32, u64)> {
    let (caller, number) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
    Some((caller.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        let mut acknowledged = Acknowledged::default();
        for (caller, number) in [(0, 1), (1, 1), (0, 2)] {
            acknowledged.note(caller, number);
        }
        Account {
            acknowledged,
            journal: BTreeMap::from([(0, vec![1, 2]), (1, vec![1, 2])]),
            latest: BTreeMap::from([(0, 2), (1, 2)]),
        }
    }

    #[test]
    fn more_than_was_acknowledged_is_fine() {
        let account = account();
        assert_eq!((account.acknowledged(), account.found()), (3, 4));
        assert_eq!((account.lost(), account.doubled(), account.torn()), (0, 0, 0));
    }

    #[test]
    fn an_entry_that_comes_twice_is_counted() {
        let mut account = account();
        account.journal.insert(0, vec![1, 2, 2]);
        assert_eq!((account.doubled(), account.torn()), (1, 0));
    }

    #[test]
    fn a_lost_entry_is_counted() {
        let mut account = account();
        account.journal.insert(0, vec![1]);
        account.latest.insert(0, 1);
        assert_eq!((account.lost(), account.torn()), (1, 0));
        account.journal.insert(0, vec![2, 1]);
        assert_eq!(account.lost(), 2, "another order is not what was acknowledged");
    }

    #[test]
    fn half_a_transaction_is_torn() {
        let mut account = account();
        account.latest.insert(1, 1);
        assert_eq!((account.lost(), account.torn()), (0, 1));
        account.latest.remove(&1);
        assert_eq!(account.torn(), 1);
    }
}
