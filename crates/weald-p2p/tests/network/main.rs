//! Networks of real sockets on the loopback interface, several in one process.

mod admission;
mod budgets;
mod calls;
mod discovery;
mod frames;
mod probing;
mod reconnection;
mod relays;
mod rig;
