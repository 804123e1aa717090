//! The checkers are checked: against histories known to be bad, against histories of a real serial
//! execution, and against a brute-force search on tiny ones.

mod anomalies;
mod brute_force;
mod faults;
mod generated;
mod script;
