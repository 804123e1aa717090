//! The bank: transfers between accounts never change their sum.

use std::collections::BTreeMap;

use super::{History, Operation, Seen, Step, Value};

/// Accounts in registers. A snapshot is a committed operation that reads all of them before it
/// writes any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    accounts: Vec<String>,
    total: Value,
}

/// A snapshot that no correct bank shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BankError {
    /// The balances have another sum.
    #[error("the sum is wrong: expected={expected} found={found} in {operation}")]
    Sum {
        /// What all accounts hold together.
        expected: i128,
        /// What the snapshot shows.
        found: i128,
        /// The snapshot.
        operation: String,
    },
    /// No operation is a snapshot, so nothing was judged.
    #[error("the history has no snapshot")]
    NoSnapshot,
}

impl Bank {
    /// A bank of these accounts that hold `total` together. An absent account holds 0.
    pub fn new(accounts: Vec<String>, total: Value) -> Self {
        Self { accounts, total }
    }

    /// The steps that put all money into the first account.
    pub fn founding(&self) -> Vec<Step> {
        let balances = std::iter::once(self.total).chain(std::iter::repeat(0));
        self.accounts.iter().zip(balances).map(|(name, value)| Step::write(name, value)).collect()
    }

    /// The steps of a snapshot, without answers.
    pub fn snapshot(&self) -> Vec<Step> {
        self.accounts.iter().map(Step::read).collect()
    }

    /// The steps of a transfer by a client that has read both balances.
    pub fn transfer(from: (&str, Value), to: (&str, Value), amount: Value) -> Vec<Step> {
        vec![
            Step::seen(from.0, Some(from.1)),
            Step::seen(to.0, Some(to.1)),
            Step::write(from.0, from.1 - amount),
            Step::write(to.0, to.1 + amount),
        ]
    }

    /// Judges every snapshot; how many there were.
    ///
    /// # Errors
    /// [`BankError::Sum`] for the first snapshot with another sum, [`BankError::NoSnapshot`] if there
    /// is none.
    pub fn check(&self, history: &History) -> Result<usize, BankError> {
        let mut snapshot_count = 0;
        for operation in history.operations().iter().filter(|one| one.completed().is_some()) {
            let Some(found) = self.sum(operation) else { continue };
            snapshot_count += 1;
            let expected = i128::from(self.total);
            if found != expected {
                let operation = operation.to_string();
                return Err(BankError::Sum { expected, found, operation });
            }
        }
        if snapshot_count == 0 { Err(BankError::NoSnapshot) } else { Ok(snapshot_count) }
    }

    fn sum(&self, operation: &Operation) -> Option<i128> {
        let mut balances: BTreeMap<&str, Value> = BTreeMap::new();
        let reads = operation.steps.iter().take_while(|step| !step.is_change());
        for step in reads {
            if let Step::Read { register, seen: Seen::Is(value), .. } = step {
                balances.insert(register, value.unwrap_or(0));
            }
        }
        self.accounts.iter().map(|name| balances.get(name.as_str()).copied().map(i128::from)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, ProcessId};
    use super::*;

    fn bank() -> Bank {
        Bank::new(vec![String::from("a"), String::from("b")], 10)
    }

    fn committed(steps: Vec<Step>) -> Operation {
        let outcome = Outcome::Committed { at: 1 };
        Operation { process: ProcessId(0), invoked: 0, outcome, steps }
    }

    fn snapshot(a: Option<Value>, b: Option<Value>) -> Operation {
        committed(vec![Step::seen("a", a), Step::seen("b", b)])
    }

    #[test]
    fn w218_a_constant_sum_is_accepted_in_snapshots_and_transfers() {
        let transfer = committed(Bank::transfer(("a", 10), ("b", 0), 4));
        let history = History::new(vec![
            committed(bank().founding()),
            transfer,
            snapshot(Some(6), Some(4)),
            snapshot(Some(10), None),
            committed(bank().snapshot()),
        ]);
        assert_eq!(bank().check(&history), Ok(3));
    }

    #[test]
    fn w218_half_a_transfer_is_found() {
        let history = History::new(vec![snapshot(Some(10), Some(0)), snapshot(Some(6), Some(0))]);
        let error = bank().check(&history).unwrap_err();
        assert!(matches!(error, BankError::Sum { expected: 10, found: 6, .. }), "{error}");
    }

    #[test]
    fn a_history_without_a_snapshot_is_not_judged() {
        let half = committed(vec![Step::seen("a", Some(1))]);
        assert_eq!(bank().check(&History::new(vec![half])), Err(BankError::NoSnapshot));
    }
}
