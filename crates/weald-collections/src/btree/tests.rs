//! Tests of the B+tree.

mod basics;
mod cursors;
mod damage;
mod faults;
mod format;
mod model;
mod shape;
mod support;
