//! `Topic` as a collection type, delivery and subscription as state machines, set merge.
//!
//! Holds no code yet: topics are built on top of the mesh.
