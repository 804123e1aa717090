//! How far back the history reaches: floors of collections, and views that hold versions.
//!
//! A collection's *floor* is the index below which its old versions may be gone; at it and above
//! every version can be read. A collection that never named a floor has the default one, which
//! follows the last checkpoint at a distance. Floors rise at checkpoints only, never above the
//! index of a live view, and they are durable before anything below them is removed: so a version
//! that a view may need is there, and one that may be gone is never looked for.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use weald_core::{BlockId, LogIndex};

/// The floor of one collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// What the state machine asked for.
    pub(crate) wanted: LogIndex,
    /// What holds.
    pub(crate) holds: LogIndex,
}

/// The floors as they hold, to look things up in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floors {
    /// For collections that have no own floor.
    pub(crate) default: LogIndex,
    pub(crate) collections: BTreeMap<BlockId, Floor>,
    /// A block of which nothing is stored may have been there below this index.
    pub(crate) forgotten: LogIndex,
}

impl Floors {
    /// The floor of a collection.
    pub(crate) fn of(&self, collection: BlockId) -> LogIndex {
        self.collections.get(&collection).map_or(self.default, |floor| floor.holds)
    }

    /// The lowest floor: below it nothing can be read.
    pub(crate) fn lowest(&self) -> LogIndex {
        let own = self.collections.values().map(|floor| floor.holds);
        own.fold(self.default, LogIndex::min)
    }

    /// Lets floors rise to what is wanted, at most to `cap`. Gives the collections that rose.
    fn rise(&mut self, default: LogIndex, cap: LogIndex) -> Vec<BlockId> {
        self.default = self.default.max(default.min(cap));
        let mut risen = Vec::new();
        for (id, floor) in &mut self.collections {
            let holds = floor.holds.max(floor.wanted.min(cap));
            if holds != floor.holds {
                floor.holds = holds;
                risen.push(*id);
            }
        }
        risen
    }
}

/// The floors and who stands on them.
#[derive(Debug, Default)]
pub(crate) struct Horizon {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    floors: Floors,
    /// The floors as the last successful checkpoint stored them.
    durable: Floors,
    /// Collections whose floor must be stored by the next checkpoint.
    named: Vec<BlockId>,
    pins: BTreeMap<LogIndex, usize>,
}

impl Horizon {
    pub(crate) fn new(floors: Floors) -> Self {
        let durable = floors.clone();
        Self { state: Mutex::new(State { floors, durable, ..State::default() }) }
    }

    /// Notes the floors that an entry asks for.
    pub(crate) fn want(&self, wanted: &BTreeMap<BlockId, LogIndex>) {
        if wanted.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        for (&id, &index) in wanted {
            let default = state.floors.default;
            // What was pruned by the default floor stays pruned.
            let new = Floor { wanted: index, holds: default };
            let floor = state.floors.collections.entry(id).or_insert(new);
            floor.wanted = index;
            state.named.push(id);
        }
    }

    /// Pins what `index` answers, if it is not below every floor; otherwise the lowest floor.
    pub(crate) fn pin(&self, index: impl FnOnce() -> LogIndex) -> Result<LogIndex, LogIndex> {
        let mut state = self.state.lock();
        let index = index();
        let lowest = state.floors.lowest();
        if index < lowest {
            return Err(lowest);
        }
        *state.pins.entry(index).or_default() += 1;
        Ok(index)
    }

    pub(crate) fn unpin(&self, index: LogIndex) {
        let mut state = self.state.lock();
        if let Some(count) = state.pins.get_mut(&index) {
            *count -= 1;
            if *count == 0 {
                state.pins.remove(&index);
            }
        }
    }

    /// Lets floors rise for a checkpoint that covers `cover`. Gives them, and the collections
    /// whose floors must be stored.
    pub(crate) fn rise(&self, default: LogIndex, cover: LogIndex) -> (Floors, Vec<BlockId>) {
        let mut state = self.state.lock();
        let oldest = state.pins.first_key_value().map_or(cover, |(index, _)| *index);
        let mut changed = state.floors.rise(default, oldest.min(cover));
        changed.append(&mut state.named);
        changed.sort_unstable();
        changed.dedup();
        (state.floors.clone(), changed)
    }

    /// The floors given by [`Horizon::rise`] are durable.
    pub(crate) fn stored(&self, floors: Floors) {
        let mut state = self.state.lock();
        state.floors.forgotten = floors.forgotten;
        state.durable = floors;
    }

    /// The floors given by [`Horizon::rise`] could not be stored; the next checkpoint must.
    pub(crate) fn not_stored(&self, changed: Vec<BlockId>) {
        self.state.lock().named.extend(changed);
    }

    /// The floor of a collection.
    pub(crate) fn floor_of(&self, collection: BlockId) -> LogIndex {
        self.state.lock().floors.of(collection)
    }

    /// Below this index a block of which nothing is stored may have been there.
    pub(crate) fn forgotten(&self) -> LogIndex {
        self.state.lock().floors.forgotten
    }

    /// The floors that a reopened store would have.
    pub(crate) fn durable(&self) -> Floors {
        self.state.lock().durable.clone()
    }
}
