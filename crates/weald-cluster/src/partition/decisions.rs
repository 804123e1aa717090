//! Decisions to commit that not every participant has carried out. Everything else is aborted, so
//! only these are kept; and they are kept however long a participant is away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weald_core::{Effects, PartId, PlacementKey, Position, Time, TransactionId};

use super::rows;

/// One decision to commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// When it was made, log time.
    pub time: Time,
    /// What is not carried out yet: by placement key, where the part was pended.
    pub outstanding: BTreeMap<PlacementKey, Position>,
}

impl Decision {
    /// Whether it commits this part.
    pub fn commits(&self, pend: Position) -> bool {
        self.outstanding.values().any(|outstanding| *outstanding == pend)
    }
}

/// The table of decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Decisions {
    by_id: BTreeMap<TransactionId, Decision>,
}

impl Decisions {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: &TransactionId) -> Option<&Decision> {
        self.by_id.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TransactionId, &Decision)> {
        self.by_id.iter()
    }

    pub(super) fn make(&mut self, id: TransactionId, decision: Decision, effects: &mut Effects) {
        let value = Some(rows::decision_value(&decision));
        effects.rows.insert(rows::decision_key(&id), value);
        self.by_id.insert(id, decision);
    }

    /// Notes that `keys` of a part are carried out.
    pub(super) fn resolved(&mut self, part: PartId, keys: &[PlacementKey], effects: &mut Effects) {
        let Some(decision) = self.by_id.get_mut(&part.id) else { return };
        let before = decision.outstanding.len();
        decision.outstanding.retain(|key, pend| *pend != part.pend || !keys.contains(key));
        if decision.outstanding.len() == before {
            return;
        }
        let rest = (!decision.outstanding.is_empty()).then(|| rows::decision_value(decision));
        if rest.is_none() {
            self.by_id.remove(&part.id);
        }
        effects.rows.insert(rows::decision_key(&part.id), rest);
    }

    pub(super) fn restore(&mut self, id: TransactionId, decision: Decision) {
        self.by_id.insert(id, decision);
    }
}
