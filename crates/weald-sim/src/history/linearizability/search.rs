//! The search for an order of the operations on one object.
//!
//! Time goes from one end of an interval to the next. A **configuration** is one way in which things
//! can stand: the object's state, and which of the operations under way have taken effect. At a
//! completion every configuration in which the operation has not taken effect is extended by
//! operations under way until it has; what cannot be extended is dropped. When none is left, no order explains
//! the history.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::super::limits::{CONFIGURATIONS_MAX, WITNESS_CONFIGURATIONS_MAX};
use super::super::{Step, Value};
use super::LinearizabilityError;
use super::model::{Cell, Model, State};
use super::projection::{End, Projection, Role};
use super::witness::Witness;

/// One way in which things can stand. Sets are sorted indexes of parts.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Configuration {
    state: State,
    /// Committed operations that have taken effect and are not completed yet.
    done: Vec<usize>,
    /// Operations of unknown outcome that have taken effect.
    optional: Vec<usize>,
}

/// Configurations, without those that another makes superfluous: one of the same state and the
/// same committed operations that used no more of those that need not happen.
#[derive(Default)]
struct Frontier {
    /// The sets of operations of unknown outcome, by the state and the committed operations.
    configurations: BTreeMap<(State, Vec<usize>), Vec<Vec<usize>>>,
    count: usize,
}

/// The search on one object.
pub(super) struct Search<'a> {
    projection: &'a Projection<'a>,
    model: Model<'a>,
    frontier: Frontier,
    /// Committed operations under way that only read, and that change.
    reads: Vec<usize>,
    changes: Vec<usize>,
    /// By class, in the order of invocation: operations of unknown outcome that have not taken
    /// effect in all configurations.
    optional: BTreeMap<usize, Vec<usize>>,
    /// The projection's readers that are not completed.
    readers: BTreeMap<Option<Value>, BTreeSet<usize>>,
    count_max: usize,
    /// How many configurations may be held at one event.
    limit: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(projection: &'a Projection<'a>) -> Self {
        let model = Model::new(projection);
        let mut frontier = Frontier::default();
        frontier.insert(Configuration {
            state: model.initial(),
            done: Vec::new(),
            optional: Vec::new(),
        });
        Self {
            projection,
            model,
            frontier,
            reads: Vec::new(),
            changes: Vec::new(),
            optional: BTreeMap::new(),
            readers: projection.readers.clone(),
            count_max: 1,
            limit: CONFIGURATIONS_MAX,
        }
    }

    /// Without looking ahead to later reads, which finds a fault where it began: slower, and no
    /// misfit is found before the operation that sees what is wrong.
    pub(super) fn without_lookahead(mut self) -> Self {
        self.readers.clear();
        self.limit = WITNESS_CONFIGURATIONS_MAX;
        self
    }

    /// Goes through the history; the most configurations that were possible at once.
    pub(super) fn run(mut self) -> Result<usize, LinearizabilityError> {
        for (_, end, part) in self.projection.ends() {
            match end {
                End::Invocation => self.invoke(part),
                End::Completion => self.complete(part)?,
            }
            self.count_max = self.count_max.max(self.frontier.count);
        }
        Ok(self.count_max)
    }

    fn invoke(&mut self, part: usize) {
        match self.projection.parts[part].role {
            Role::Change => self.changes.push(part),
            Role::Optional { class } => self.optional.entry(class).or_default().push(part),
            Role::Read => {
                self.reads.push(part);
                for mut configuration in mem::take(&mut self.frontier).into_configurations() {
                    self.absorb_reads(&mut configuration);
                    self.frontier.insert(configuration);
                }
            }
        }
    }

    fn complete(&mut self, part: usize) -> Result<(), LinearizabilityError> {
        let mut survivors = Frontier::default();
        let mut met = Frontier::default();
        let mut open = mem::take(&mut self.frontier).into_configurations();
        open.retain(|configuration| {
            let survives = configuration.done.contains(&part);
            if survives {
                survivors.insert(configuration.clone().without(part));
            } else {
                met.insert(configuration.clone());
            }
            !survives
        });
        while let Some(configuration) = open.pop() {
            for next in self.successors(&configuration) {
                if next.done.contains(&part) {
                    survivors.insert(next.without(part));
                } else if met.insert(next.clone()) {
                    open.push(next);
                }
            }
            if survivors.count + met.count > self.limit {
                let object = self.projection.object.to_string();
                return Err(LinearizabilityError::Undecided { object });
            }
        }
        if survivors.count == 0 {
            return Err(self.impossible(part, &met));
        }
        self.frontier = survivors;
        self.retire(part);
        Ok(())
    }

    /// The configurations that one more operation under way leads to. Of operations that can stand
    /// for each other only the one that was invoked first is tried.
    fn successors(&mut self, from: &Configuration) -> Vec<Configuration> {
        let changes = self.changes.iter().filter(|part| !from.done.contains(part));
        let is_unused = |part: &&usize| from.optional.binary_search(part).is_err();
        let optional = self.optional.values().filter_map(|class| class.iter().find(is_unused));
        let candidates: Vec<usize> = changes.chain(optional).copied().collect();
        candidates.into_iter().filter_map(|part| self.successor(from, part)).collect()
    }

    fn successor(&mut self, from: &Configuration, part: usize) -> Option<Configuration> {
        let state = self.model.apply(from.state, part)?;
        if !self.may_leave(from, part) {
            return None;
        }
        let mut next = from.clone();
        next.state = state;
        match self.projection.parts[part].role {
            Role::Optional { .. } => insert_sorted(&mut next.optional, part),
            Role::Read | Role::Change => insert_sorted(&mut next.done, part),
        }
        self.absorb_reads(&mut next);
        Some(next)
    }

    /// Whether `part` may overwrite the value: one that is written once is never back, so all who
    /// saw it must have read by then.
    fn may_leave(&self, from: &Configuration, part: usize) -> bool {
        let State::Register(Cell::Named(value)) = from.state else { return true };
        let is_overwriting =
            self.projection.parts[part].steps.iter().any(|step| matches!(step, Step::Write { .. }));
        let Some(readers) = self.readers.get(&value).filter(|_| is_overwriting) else {
            return true;
        };
        readers.iter().all(|reader| *reader == part || from.done.contains(reader))
    }

    /// Lets every read under way take effect that fits: a read that can happen now need not wait,
    /// for it changes nothing.
    fn absorb_reads(&mut self, configuration: &mut Configuration) {
        for read in &self.reads {
            let is_open = !configuration.done.contains(read);
            if is_open && self.model.apply(configuration.state, *read).is_some() {
                insert_sorted(&mut configuration.done, *read);
            }
        }
    }

    /// Forgets what cannot make a difference any more: the completed part, and operations of
    /// unknown outcome that have taken effect in all configurations.
    fn retire(&mut self, part: usize) {
        self.reads.retain(|other| *other != part);
        self.changes.retain(|other| *other != part);
        let seen = self.projection.parts[part].first_seen().unwrap_or_default();
        if let Some(readers) = self.readers.get_mut(&seen) {
            readers.remove(&part);
            if readers.is_empty() {
                self.readers.remove(&seen);
            }
        }
        let settled = self.frontier.optional_in_all();
        if settled.is_empty() {
            return;
        }
        for class in self.optional.values_mut() {
            class.retain(|part| !settled.contains(part));
        }
        self.optional.retain(|_, class| !class.is_empty());
        for mut configuration in mem::take(&mut self.frontier).into_configurations() {
            configuration.optional.retain(|part| !settled.contains(part));
            self.frontier.insert(configuration);
        }
    }

    fn impossible(&self, part: usize, met: &Frontier) -> LinearizabilityError {
        let states: BTreeSet<State> = met.configurations.keys().map(|(state, _)| *state).collect();
        let witness = Witness::new(self.projection, part, &states, &self.model);
        LinearizabilityError::Impossible(Box::new(witness))
    }
}

impl Configuration {
    fn without(mut self, part: usize) -> Self {
        self.done.retain(|other| *other != part);
        self
    }
}

impl Frontier {
    /// Adds a configuration; false if it is superfluous.
    fn insert(&mut self, configuration: Configuration) -> bool {
        let Configuration { state, done, optional } = configuration;
        let rivals = self.configurations.entry((state, done)).or_default();
        if rivals.iter().any(|others| is_subset(others, &optional)) {
            return false;
        }
        let before = rivals.len();
        rivals.retain(|others| !is_subset(&optional, others));
        rivals.push(optional);
        self.count = self.count + rivals.len() - before;
        true
    }

    fn into_configurations(self) -> Vec<Configuration> {
        let mut all = Vec::with_capacity(self.count);
        for ((state, done), rivals) in self.configurations {
            all.extend(rivals.into_iter().map(|optional| {
                let done = done.clone();
                Configuration { state, done, optional }
            }));
        }
        all
    }

    fn optional_in_all(&self) -> Vec<usize> {
        let mut sets = self.configurations.values().flatten();
        let Some(first) = sets.next() else { return Vec::new() };
        let mut common = first.clone();
        for set in sets {
            common.retain(|part| set.contains(part));
        }
        common
    }
}

fn insert_sorted(set: &mut Vec<usize>, part: usize) {
    if let Err(place) = set.binary_search(&part) {
        set.insert(place, part);
    }
}

fn is_subset(small: &[usize], large: &[usize]) -> bool {
    small.iter().all(|part| large.binary_search(part).is_ok())
}
