//! Two and three machines in a little world: peers that come and go, questions that are lost,
//! doubled and delayed, nodes that stop at any point, users that write whenever they may.

mod interleavings;
mod single;
mod world;
