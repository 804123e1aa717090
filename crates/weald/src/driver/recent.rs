//! Outcomes that nobody was told when they came: of writes acknowledged early, or given up.

use std::collections::{BTreeMap, VecDeque};

use weald_core::{Outcome, TransactionId};

/// The newest outcomes that were not told, up to a count.
#[derive(Debug)]
pub(crate) struct Recent {
    by_id: BTreeMap<TransactionId, Outcome>,
    order: VecDeque<TransactionId>,
    max: usize,
}

impl Recent {
    pub(crate) fn new(max: usize) -> Self {
        Self { by_id: BTreeMap::new(), order: VecDeque::new(), max }
    }

    pub(crate) fn insert(&mut self, id: TransactionId, outcome: Outcome) {
        if self.by_id.insert(id, outcome).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > self.max {
            let oldest = self.order.pop_front().expect("it is longer than its bound");
            self.by_id.remove(&oldest);
        }
    }

    pub(crate) fn outcome(&self, id: &TransactionId) -> Option<&Outcome> {
        self.by_id.get(id)
    }
}
