//! The system partition's state: who belongs to the network, and how the key space is cut.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weald_core::{
    AdmissionPolicy, Effects, FeatureLevel, KeyBounds, LogIndex, NodeStanding, PartitionId,
    PlacementKey, Rejection, SystemChange, SystemEntry, SystemState, TypeName, TypeVersion,
    limits::{NODE_BYTES_MAX, NODES_MAX, PARTITIONS_MAX, TYPES_MAX},
};

use super::{rows, settings::check};

/// The partition that holds this state.
pub(super) const SYSTEM: PartitionId = PartitionId(0);

/// Everything but nodes and ranges, which have rows of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SystemRow {
    changed: LogIndex,
    level: FeatureLevel,
    admission: AdmissionPolicy,
    responsibility: u32,
    types: Vec<(TypeName, TypeVersion)>,
}

impl SystemRow {
    fn of(state: &SystemState) -> Self {
        let &SystemState { changed, level, admission, responsibility, .. } = state;
        Self { changed, level, admission, responsibility, types: state.types.clone() }
    }

    pub(super) fn restore(self, state: &mut SystemState) {
        state.changed = self.changed;
        state.level = self.level;
        state.admission = self.admission;
        state.responsibility = self.responsibility;
        state.types = self.types;
    }
}

/// The state after `entry`, applied at `index`.
pub(super) fn changed(
    state: &SystemState,
    entry: &SystemEntry,
    index: LogIndex,
) -> Result<SystemState, Rejection> {
    if entry.based_on != state.changed {
        let (based_on, changed) = (entry.based_on, state.changed);
        return Err(Rejection::Superseded { based_on, changed });
    }
    let mut after = SystemState { changed: index, ..state.clone() };
    for change in &entry.changes {
        take(&mut after, change)?;
    }
    check("nodes", after.nodes.len(), NODES_MAX)?;
    check("partitions", after.ranges.len(), PARTITIONS_MAX)?;
    check("types", after.types.len(), TYPES_MAX)?;
    Ok(after)
}

fn take(after: &mut SystemState, change: &SystemChange) -> Result<(), Rejection> {
    match change {
        SystemChange::PutNode(peer, record) => {
            check("node bytes", record.domain.len() + record.public_key.len(), NODE_BYTES_MAX)?;
            after.nodes.insert(*peer, record.clone());
        }
        SystemChange::RemoveNode(peer) => match after.nodes.get(peer).map(|node| node.standing) {
            Some(NodeStanding::Gone) => drop(after.nodes.remove(peer)),
            Some(_) => return Err(invalid("a node that takes part is not forgotten")),
            None => {}
        },
        SystemChange::Found(cut) => after.ranges = founded(&after.ranges, cut)?,
        SystemChange::Split { partition, at, child } => {
            split(&mut after.ranges, *partition, *at, *child)?;
        }
        SystemChange::Level(level) => after.level = after.level.max(*level),
        SystemChange::Admission(admission) => after.admission = *admission,
        SystemChange::Responsibility(voters) => {
            if !matches!(voters, 1 | 3 | 5) {
                return Err(invalid("1, 3 or 5 voters"));
            }
            after.responsibility = *voters;
        }
        SystemChange::Register { type_name, version } => {
            let added = (type_name.clone(), *version);
            if !after.types.contains(&added) {
                after.types.push(added);
            }
        }
    }
    Ok(())
}

/// The founding cut, if it covers every key once.
fn founded(
    before: &BTreeMap<PartitionId, KeyBounds>,
    cut: &[(PartitionId, KeyBounds)],
) -> Result<BTreeMap<PartitionId, KeyBounds>, Rejection> {
    if !before.is_empty() {
        return Err(invalid("a key space that is not cut yet"));
    }
    let mut in_order: Vec<_> = cut.iter().map(|(_, bounds)| *bounds).collect();
    in_order.sort();
    let mut next = Some(0_u64);
    for bounds in in_order {
        if next != Some(bounds.first.as_u64()) || bounds.last < bounds.first {
            return Err(invalid("ranges without a gap or an overlap"));
        }
        next = bounds.last.as_u64().checked_add(1);
    }
    let ranges: BTreeMap<_, _> = cut.iter().copied().collect();
    if next.is_some() || ranges.len() != cut.len() {
        return Err(invalid("ranges of every key, and each partition once"));
    }
    Ok(ranges)
}

fn split(
    ranges: &mut BTreeMap<PartitionId, KeyBounds>,
    partition: PartitionId,
    at: PlacementKey,
    child: PartitionId,
) -> Result<(), Rejection> {
    if ranges.contains_key(&child) {
        return Err(invalid("a child that is new"));
    }
    let Some(bounds) = ranges.get_mut(&partition) else {
        return Err(invalid("a partition that exists"));
    };
    let inner = at.as_u64().checked_sub(1).map(PlacementKey::from_u64);
    let Some(last) = inner.filter(|last| bounds.contains(*last) && bounds.contains(at)) else {
        return Err(invalid("a cut within the partition"));
    };
    let upper = KeyBounds { first: at, last: bounds.last };
    bounds.last = last;
    ranges.insert(child, upper);
    Ok(())
}

/// Writes the rows by which `after` differs.
pub(super) fn store(before: &SystemState, after: &SystemState, effects: &mut Effects) {
    effects.rows.insert(rows::system_key(), Some(rows::system_value(&SystemRow::of(after))));
    for peer in before.nodes.keys().filter(|peer| !after.nodes.contains_key(peer)) {
        effects.rows.insert(rows::node_key(peer), None);
    }
    for (peer, record) in after.nodes.iter().filter(|(p, node)| before.nodes.get(p) != Some(*node))
    {
        effects.rows.insert(rows::node_key(peer), Some(rows::node_value(record)));
    }
    for (partition, bounds) in
        after.ranges.iter().filter(|(p, bounds)| before.ranges.get(p) != Some(*bounds))
    {
        effects.rows.insert(rows::range_key(*partition), Some(rows::range_value(bounds)));
    }
}

fn invalid(wanted: &str) -> Rejection {
    Rejection::Invalid { detail: format!("the system partition needs {wanted}") }
}
