//! What is done to a world: faults, repairs and wishes of operators. Scripts are written in them,
//! plans of random runs are lists of them, and a failing plan is printed in the same words.

pub(crate) mod parse;

use std::fmt;

use crate::name::Name;

/// One thing that is done to a world. [`fmt::Display`] and [`std::str::FromStr`] are inverse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// `cut A->B`: nothing arrives any more, one way.
    Cut(Name, Name),
    /// `mend A->B`.
    Mend(Name, Name),
    /// `isolate A`: nothing arrives from or at it.
    Isolate(Name),
    /// `partition A,B`: these and the others do not hear each other.
    Partition(Vec<Name>),
    /// `heal`: all links are mended, no messages are dropped.
    Heal,
    /// `drop Heartbeat from A to B 5 for 2000ms`: messages are lost; every part but the name is
    /// optional, `any` is every name.
    Drop(Dropping),
    /// `crash A`: power fails; what is not synced may be lost.
    Crash(Name),
    /// `restart A`.
    Restart(Name),
    /// `pause A`: it stands still, messages wait.
    Pause(Name),
    /// `resume A`.
    Resume(Name),
    /// `wipe A`: crashes, and finds an empty disk; the key is kept.
    Wipe(Name),
    /// `rot A 3`: crashes, and the entry three before the last synced one is damaged.
    Rot(Name, u64),
    /// `backup A`: a copy of its disk is made.
    Backup(Name),
    /// `rollback A`: crashes, and the copy is put back.
    Rollback(Name),
    /// `disk A normal`, `slow 300ms`, `full` or `failing`.
    Disk(Name, DiskState),
    /// `clock A +3600000ms`: its time of day jumps.
    Clock(Name, i64),
    /// `checkpoint A 5`: its state is kept, its log only for the last five entries before.
    Checkpoint(Name, u64),
    /// `add D`: a node that is no member starts.
    Add(Name),
    /// `voters A,B,D`: these are to vote, whatever steps it takes.
    Voters(Vec<Name>),
    /// `transfer B`: the coordinator hands over.
    Transfer(Name),
    /// `forge A`: it is told what no member says.
    Forge(Name),
    /// `corrupt A`: its state machine is not what the log says.
    Corrupt(Name),
    /// `recover A`: it goes on alone, in a new generation; an administrator signs.
    Recover(Name),
    /// `usurp A`: the same, signed by somebody else.
    Usurp(Name),
    /// `load 3`: so many clients read and write.
    Load(u8),
    /// `reorder 30%`: so many messages are late by up to 20 ms.
    Reorder(u8),
    /// `loss 1%`.
    Loss(u8),
}

/// See [`Command::Drop`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Dropping {
    pub(crate) message: Option<String>,
    pub(crate) from: Option<Name>,
    pub(crate) to: Option<Name>,
    pub(crate) count: Option<u32>,
    pub(crate) millis: u64,
}

/// How a disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DiskState {
    /// A sync takes what is usual.
    Normal,
    /// It takes this much longer, ms.
    Slow(u64),
    /// Nothing can be written until there is space.
    Full,
    /// The next sync fails.
    Failing,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(from, to) => write!(f, "cut {from}->{to}"),
            Self::Mend(from, to) => write!(f, "mend {from}->{to}"),
            Self::Isolate(node) => write!(f, "isolate {node}"),
            Self::Partition(side) => write!(f, "partition {}", names(side)),
            Self::Heal => write!(f, "heal"),
            Self::Drop(dropping) => dropping.fmt(f),
            Self::Crash(node) => write!(f, "crash {node}"),
            Self::Restart(node) => write!(f, "restart {node}"),
            Self::Pause(node) => write!(f, "pause {node}"),
            Self::Resume(node) => write!(f, "resume {node}"),
            Self::Wipe(node) => write!(f, "wipe {node}"),
            Self::Rot(node, back) => write!(f, "rot {node} {back}"),
            Self::Backup(node) => write!(f, "backup {node}"),
            Self::Rollback(node) => write!(f, "rollback {node}"),
            Self::Disk(node, DiskState::Normal) => write!(f, "disk {node} normal"),
            Self::Disk(node, DiskState::Slow(millis)) => write!(f, "disk {node} slow {millis}ms"),
            Self::Disk(node, DiskState::Full) => write!(f, "disk {node} full"),
            Self::Disk(node, DiskState::Failing) => write!(f, "disk {node} failing"),
            Self::Clock(node, millis) => write!(f, "clock {node} {millis:+}ms"),
            Self::Checkpoint(node, kept) => write!(f, "checkpoint {node} {kept}"),
            Self::Add(node) => write!(f, "add {node}"),
            Self::Voters(voters) => write!(f, "voters {}", names(voters)),
            Self::Transfer(node) => write!(f, "transfer {node}"),
            Self::Forge(node) => write!(f, "forge {node}"),
            Self::Corrupt(node) => write!(f, "corrupt {node}"),
            Self::Recover(node) => write!(f, "recover {node}"),
            Self::Usurp(node) => write!(f, "usurp {node}"),
            Self::Load(clients) => write!(f, "load {clients}"),
            Self::Reorder(percent) => write!(f, "reorder {percent}%"),
            Self::Loss(percent) => write!(f, "loss {percent}%"),
        }
    }
}

impl fmt::Display for Dropping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drop {}", self.message.as_deref().unwrap_or("any"))?;
        self.from.map_or(Ok(()), |from| write!(f, " from {from}"))?;
        self.to.map_or(Ok(()), |to| write!(f, " to {to}"))?;
        self.count.map_or(Ok(()), |count| write!(f, " {count}"))?;
        write!(f, " for {}ms", self.millis)
    }
}

/// `A,B,C`.
pub(crate) fn names(names: &[Name]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
