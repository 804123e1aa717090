//! Judges of client histories: was what the clients saw possible in a correct database?
//!
//! A [`History`] is what clients asked, when, and what they were told. It is built by a
//! [`Recorder`], kept as JSON lines, and judged by three checks that know nothing of the database:
//!
//! | check | what it judges | cost |
//! |---|---|---|
//! | [`check_linearizable`] | every register and every diary by itself is linearizable | O(n) objects' events times the orders that are still possible: about O(n log n) for distinct values, exponential in the operations that overlap on one object at worst |
//! | [`check_serializable`] | transactions over many objects, at a [`Level`] up to strict serializability | O(n log n + n p) to build and decompose the graph, for p operations at once |
//! | [`Bank`] | the sum over accounts is the same in every snapshot | O(n) |
//!
//! An operation is a list of [`Step`]s that took effect at one instant, or not at all; a single
//! write is an operation of one step. An operation that was *committed* took effect between its
//! invocation and its completion. One that was *rejected* had no effect. One whose outcome is
//! *unknown* may take effect at any time from its invocation on, or never. An operation is before
//! another in real time if it completed at a lower tick than the other's invocation; at equal
//! ticks the two overlap.
//!
//! # Linearizability
//!
//! Linearizability is local (Herlihy and Wing, 1990), so each object is judged alone: a
//! transaction is projected on each object that it touches. For one object the search of Wing and
//! Gong (Testing and verifying concurrent objects, 1993) looks for an order that explains the
//! answers; configurations met before are not entered again, and an operation is put into the
//! order only when some completion needs it (both: Lowe, Testing for linearizability, 2017).
//! Operations of unknown outcome would double the configurations each; three observations keep
//! them few. A configuration that used fewer of them, all else equal, makes the other superfluous.
//! Those whose value nobody has seen are interchangeable, so the earliest is used first. And a
//! value that only one operation writes must not be overwritten before all who saw it have read.
//!
//! # Serializability
//!
//! The method of Kingsbury and Alvaro (Elle: inferring isolation anomalies from experimental
//! observations, VLDB 2020): clients write distinct values, so a read names the transaction it read
//! from; diaries and revisions show the order of versions. That gives a graph of write-write,
//! write-read and read-write dependencies; with edges for real time, a cycle in it is an anomaly
//! in the terms of Adya (Weak consistency, 1999). What a history does not show is not guessed: the
//! check finds no anomaly where there is none, and finds all that versions and reads expose.
//!
//! # What each is good for
//!
//! The two overlap on purpose. Linearizability asks nothing of the values and judges unknown
//! outcomes exactly, but sees one object at a time. Serializability sees across objects, but only
//! what distinct values, sequences and revisions tell it.

mod bank;
pub mod limits;
mod linearizability;
mod operation;
mod recorder;
mod serializability;

#[cfg(test)]
mod tests;

pub use bank::{Bank, BankError};
pub use linearizability::{LinearizabilityError, Linearized, Witness, check_linearizable};
pub use operation::{Object, Operation, Outcome, ProcessId, Seen, Step, Value};
pub use recorder::{Event, History, HistoryError, Invocation, Recorder};
pub use serializability::{
    Anomalies, Anomaly, AnomalyKind, Dependency, Level, Serialized, check_serializable,
};
