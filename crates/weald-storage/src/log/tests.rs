//! Tests of the whole log: on the simulated disk, where every fault can be had, and on real files.

mod conformance;
mod crash;
mod damage;
mod jump;
mod leading;
mod model;
mod repair;
mod rig;
mod sharing;
mod space;
