//! What a client asks for, and the objects there are.

use weald_sim::history::{Step, Value};

use crate::random::Random;

/// Keys of each tree.
const KEYS: usize = 4;
/// Entries that a client asks for at once.
pub(super) const PAGE: usize = 16;

/// Trees whose keys are registers, and diaries. Each has a group of its own, so that partitions share them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Objects {
    /// Keeps the objects of several loads apart: a history begins with absent ones.
    pub(crate) prefix: &'static str,
    pub(crate) tree_count: usize,
    pub(crate) diary_count: usize,
}

impl Default for Objects {
    fn default() -> Self {
        Self { prefix: "load", tree_count: 6, diary_count: 4 }
    }
}

impl Objects {
    pub(crate) fn tree(self, tree: usize) -> String {
        format!("{}-registers-{tree}", self.prefix)
    }

    pub(crate) fn diary(self, diary: usize) -> String {
        format!("{}-list-{diary}", self.prefix)
    }

    /// The name of a register in a history.
    pub(crate) fn register(self, register: &Register) -> String {
        format!("{}/{}", self.tree(register.tree), register.key)
    }

    /// All registers.
    pub(crate) fn registers(self) -> impl Iterator<Item = Register> {
        (0..self.tree_count)
            .flat_map(|tree| (0..KEYS).map(move |key| Register { tree, key: format!("k{key}") }))
    }
}

/// A key of a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Register {
    pub(crate) tree: usize,
    pub(crate) key: String,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Put {
        register: Register,
        value: Value,
    },
    /// Writes if nothing was written since the revision at which the client saw `seen`.
    Compare {
        register: Register,
        seen: Value,
        revision: u64,
        value: Value,
    },
    Get {
        register: Register,
    },
    Append {
        diary: usize,
        value: Value,
    },
    Page {
        diary: usize,
        from: u64,
    },
}

/// What a client has seen last of a register.
pub(super) type LastSeen = std::collections::BTreeMap<Register, (Value, u64)>;

impl Ask {
    /// Draws one. `fresh` is a value that nobody else writes, `ends` where the client has seen the diaries end.
    pub(super) fn draw(
        random: &mut Random,
        objects: Objects,
        fresh: Value,
        seen: &LastSeen,
        ends: &[u64],
    ) -> Self {
        let register = Register {
            tree: random.below(objects.tree_count),
            key: format!("k{}", random.below(KEYS)),
        };
        let diary = random.below(objects.diary_count);
        match random.below(100) {
            0..38 => Self::Put { register, value: fresh },
            38..48 => match seen.get(&register) {
                Some((seen, revision)) => {
                    Self::Compare { register, seen: *seen, revision: *revision, value: fresh }
                }
                None => Self::Get { register },
            },
            48..70 => Self::Get { register },
            70..92 => Self::Append { diary, value: fresh },
            _ => {
                let page = u64::try_from(random.below(PAGE)).expect("a page is small");
                Self::Page { diary, from: ends[diary].saturating_sub(page) }
            }
        }
    }

    /// The steps as they stand in a history before there is an answer.
    pub(super) fn steps(&self, objects: Objects) -> Vec<Step> {
        match self {
            Self::Put { register, value } => vec![Step::write(objects.register(register), *value)],
            Self::Compare { register, seen, value, .. } => {
                Step::compare_and_put(&objects.register(register), Some(*seen), *value)
            }
            Self::Get { register } => vec![Step::read(objects.register(register))],
            Self::Append { diary, value } => vec![Step::append(objects.diary(*diary), *value)],
            Self::Page { diary, from } => {
                let limit = Some(u64::try_from(PAGE).expect("a page is small"));
                let diary = objects.diary(*diary);
                vec![Step::ReadRange { diary, from: *from, limit, values: None }]
            }
        }
    }

    /// The collection that the operation is about.
    pub(super) fn collection(&self, objects: Objects) -> String {
        match self {
            Self::Put { register, .. }
            | Self::Compare { register, .. }
            | Self::Get { register } => objects.tree(register.tree),
            Self::Append { diary, .. } | Self::Page { diary, .. } => objects.diary(*diary),
        }
    }

    /// The tree that the operation writes.
    pub(super) fn written_tree(&self) -> Option<usize> {
        match self {
            Self::Put { register, .. } | Self::Compare { register, .. } => Some(register.tree),
            _ => None,
        }
    }

    pub(super) fn is_write(&self) -> bool {
        !matches!(self, Self::Get { .. } | Self::Page { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_operation_is_drawn() {
        let mut random = Random::new(1);
        let objects = Objects { prefix: "x", tree_count: 1, diary_count: 1 };
        let seen: LastSeen = objects.registers().map(|register| (register, (5, 3))).collect();
        let drawn: Vec<Ask> =
            (0..300).map(|value| Ask::draw(&mut random, objects, value, &seen, &[40])).collect();
        let count = |is: fn(&Ask) -> bool| drawn.iter().filter(|ask| is(ask)).count();
        assert!(count(|ask| matches!(ask, Ask::Put { .. })) > 0);
        assert!(count(|ask| matches!(ask, Ask::Compare { revision: 3, seen: 5, .. })) > 0);
        assert!(count(|ask| matches!(ask, Ask::Get { .. })) > 0);
        assert!(count(|ask| matches!(ask, Ask::Append { .. })) > 0);
        assert!(count(|ask| matches!(ask, Ask::Page { from: 25..=40, .. })) > 0);
        let changes = |ask: &Ask| ask.steps(objects).iter().any(Step::is_change);
        assert!(drawn.iter().all(|ask| ask.is_write() == changes(ask)));
    }
}
