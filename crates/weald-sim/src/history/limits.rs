//! Every bound of the checkers, by name.

/// Operations of one history.
pub const OPERATIONS_MAX: usize = 1_000_000;
/// Configurations that the linearizability check holds for one object at one event. Beyond it the
/// history is neither accepted nor refused.
pub const CONFIGURATIONS_MAX: usize = 1 << 18;
/// The same while the misfit of a history that was refused is looked for. Beyond it a misfit is
/// shown that is right and less telling.
pub const WITNESS_CONFIGURATIONS_MAX: usize = 1 << 12;
/// Operations that a witness shows.
pub const WITNESS_OPERATIONS_MAX: usize = 12;
/// Possible states that a witness shows, and values of a long list.
pub const WITNESS_STATES_MAX: usize = 8;
/// Anomalies of one kind that a report keeps; the rest are counted only.
pub const ANOMALIES_MAX: usize = 16;
/// Searches for one kind of cycle in one component that may fail. A component in which no cycle of
/// that kind was found by then is reported under the next weaker name, never accepted.
pub const CYCLE_SEARCHES_MAX: usize = 1024;
/// Cycles of one kind in one component among which the shortest is reported.
pub const CYCLES_COMPARED_MAX: usize = 64;
