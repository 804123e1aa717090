//! Exhaustive exploration of the replica within small bounds: every order of messages, losses,
//! repetitions, campaigns, syncs, crashes and lost disks, checked in every state that can be
//! reached.
//!
//! The members are the states of [`weald_cluster::replica`] that run in a node. What is abstract:
//!
//! - **Time stands still.** A timer fires whenever the exploration lets it
//!   ([`State::expire`](weald_cluster::replica::State::expire)), and anybody may be promised at any
//!   time: silence is only a matter of liveness.
//! - **The network is the set of all that was ever sent.** A letter may be delivered never, once or
//!   again, in any order, so that loss, repetition and delay need no steps of their own.
//! - **A pre-vote succeeds when it is wanted**: it changes nothing, and what it prevents is harmless.
//! - **A sync takes as long as it may matter**: once nobody can crash any more it is done at once,
//!   since a late one does what a late message does.
//!
//! [`Bounds`] say how much may happen; [`check`] explores all of it.

mod memo;
mod node;
mod properties;
mod report;
#[cfg(test)]
mod tests;
mod world;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use stateright::{Model, Property};
use weald_cluster::mutation::Mutation;

pub(crate) use report::explored;
pub use report::{Explored, check, search};
pub use world::World;

/// How much may happen in an exploration. Every number is a whole budget of the network's, not of
/// one member.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The highest number of an epoch; each has as many epochs as there are campaigners.
    pub epoch_number: u64,
    /// The first so many members campaign; the others only vote.
    pub campaigners: usize,
    /// Campaigns.
    pub campaigns: u8,
    /// Proposals.
    pub proposals: u8,
    /// Members that crash, losing what is not synced, and begin again.
    pub crashes: u8,
    /// Members that begin again without anything they had on disk.
    pub wipes: u8,
    /// Signs of life by coordinators, beyond those by which they begin.
    pub beats: u8,
    /// Coordinations that end because entries are refused for their time. If any, the clock of the
    /// third member is behind those of the others, whose entries it refuses.
    pub resignations: u8,
    /// Whether members are told that their epoch is behind.
    pub has_refusals: bool,
    /// Whether a coordinator may step down, and campaign again.
    pub has_step_downs: bool,
    /// Whether every letter holds one entry only, so that each can get lost alone.
    pub has_single_entries: bool,
    /// Whether a fourth member, a learner at first, takes the place of the third.
    pub has_change: bool,
    /// Whether members sign what is committed: without signatures a change stays joint.
    pub has_signatures: bool,
    /// Whether the first member coordinates before the exploration begins.
    pub is_begun: bool,
    /// The rule that is left out.
    pub mutation: Option<Mutation>,
}

impl Bounds {
    /// A coordinator, a second one that takes over, and a command: epochs up to number 2.
    pub const fn takeover() -> Self {
        Self {
            epoch_number: 2,
            campaigners: 2,
            campaigns: 2,
            proposals: 1,
            crashes: 0,
            wipes: 0,
            beats: 0,
            resignations: 0,
            has_refusals: false,
            has_step_downs: false,
            has_single_entries: false,
            has_change: false,
            has_signatures: true,
            is_begun: false,
            mutation: None,
        }
    }

    /// Any member crashes once, with two campaigns of one member and without commands.
    pub const fn crash() -> Self {
        Self { campaigners: 1, crashes: 1, proposals: 0, ..Self::takeover() }
    }

    /// Any member loses its disk, with two campaigns and without commands.
    pub const fn wipe() -> Self {
        Self { wipes: 1, proposals: 0, ..Self::takeover() }
    }

    /// The first member's command is refused for its time, and it resigns.
    pub const fn resignation() -> Self {
        Self { resignations: 1, is_begun: true, campaigns: 2, epoch_number: 3, ..Self::takeover() }
    }

    /// The same, after it has stepped down with the command in its log and was elected again.
    pub const fn resignation_again() -> Self {
        Self { has_step_downs: true, ..Self::resignation() }
    }

    /// The third voter makes room for a fourth member.
    pub const fn change() -> Self {
        let begun = Self { has_change: true, is_begun: true, ..Self::takeover() };
        Self { campaigns: 0, proposals: 0, ..begun }
    }

    /// The second member campaigns while the configuration becomes joint.
    pub const fn contested_change() -> Self {
        Self { campaigns: 1, has_signatures: false, ..Self::change() }
    }

    /// Bounds by their names: those that every test run explores, then larger ones.
    pub fn named() -> Vec<(&'static str, Self)> {
        let takeover = Self::takeover;
        vec![
            ("takeover", takeover()),
            ("crash", Self::crash()),
            ("wipe", Self::wipe()),
            ("change", Self::change()),
            ("resignation", Self::resignation()),
            ("resignation-again", Self::resignation_again()),
            ("contested-change", Self::contested_change()),
            ("contested-twice", Self { campaigns: 2, epoch_number: 3, ..Self::contested_change() }),
            ("step-down", Self { has_step_downs: true, ..takeover() }),
            ("crash-takeover", Self { crashes: 1, proposals: 0, ..takeover() }),
            ("crash-command", Self { proposals: 1, ..Self::crash() }),
        ]
    }
}

/// One thing that happens. Members are named by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A letter arrives, for the first time or again.
    Deliver(u64),
    /// What a member has handed to its disk is synced.
    Sync(usize),
    /// A member campaigns.
    Campaign(usize),
    /// A coordinator is given a command.
    Propose(usize),
    /// A coordinator gives a sign of life.
    Beat(usize),
    /// A coordinator that is refused for its clock resigns.
    Resign(usize),
    /// A coordinator is told to let the fourth member vote in place of the third.
    Change(usize),
    /// A member crashes and begins again with what was synced.
    Crash(usize),
    /// A member loses its disk and begins again.
    Wipe(usize),
}

/// What an exploration must have met, so that it is not an exploration of nothing.
#[derive(Default, Debug)]
pub(crate) struct Coverage {
    pub(crate) has_cut: AtomicBool,
    pub(crate) has_refused_amnesiac: AtomicBool,
    pub(crate) has_refused_epoch: AtomicBool,
}

pub(crate) fn reach(flag: &AtomicBool) {
    flag.store(true, Ordering::Relaxed);
}

/// The model: bounds, and what was met within them.
#[derive(Clone)]
pub struct Explorer {
    bounds: Bounds,
    coverage: Arc<Coverage>,
    memo: Arc<memo::Memo>,
}

impl Explorer {
    /// An exploration within `bounds`.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, coverage: Arc::default(), memo: Arc::default() }
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    fn memo(&self) -> &memo::Memo {
        &self.memo
    }

    pub(crate) fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}

impl Model for Explorer {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::founded(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.offer(&self.bounds, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        world.after(self, &action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(&self.bounds)
    }

    fn format_action(&self, action: &Action) -> String {
        format!("{action:?}")
    }
}
