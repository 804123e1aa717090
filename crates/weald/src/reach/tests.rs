//! Handles of nodes that reach each other over a network in memory: everything that they promise on
//! one node holds on many.

mod bodies;
mod clients;
mod creations;
mod light;
mod metrics;
mod rig;
mod signatures;
mod takeovers;
mod topics;
mod writes;

use rig::Rig;
