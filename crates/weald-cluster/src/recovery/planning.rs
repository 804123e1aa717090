//! Which survivor begins a new generation, and with what.

use weald_core::{LogIndex, PartitionId, Time};

use super::{Act, Authority, GENERATIONS_MAX, RecoveryError, SURVIVORS_MAX, Survivor};
use crate::{
    configuration::{Configuration, Member},
    replica::{Health, LogEnd, LogEntry, Point, Stored},
};

/// What is left of one member.
#[derive(Clone, Debug)]
pub struct Remains {
    stored: Stored,
    health: Health,
    end: Point,
    /// The last configuration of its readable log.
    configuration: Configuration,
}

/// Who begins, and when.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// The partition.
    pub partition: PartitionId,
    /// The time of the day.
    pub at: Time,
    /// Random, drawn for this act.
    pub nonce: [u8; 16],
}

impl Remains {
    /// What was kept of a member, its readable log (the point before its first entry, and the
    /// entries up to its end or its first gap), and what recovery found of it.
    pub fn new(stored: Stored, log: (Point, &[LogEntry]), health: Health) -> Self {
        let (before, entries) = log;
        let end = entries.last().map_or(before, |last| *last.point());
        let root = stored.recoveries.last().map(|recovery| recovery.act.kept.index);
        let committed = &stored.configurations.committed;
        let floor = committed.index.max(root.unwrap_or_default());
        let later = entries.iter().rev().filter(|entry| entry.index() > floor);
        let carried = later.filter_map(LogEntry::carried).next();
        let configuration = carried.unwrap_or_else(|| committed.configuration.clone());
        Self { stored, health, end, configuration }
    }

    /// Who it is.
    pub fn member(&self) -> Member {
        self.stored.member
    }

    /// The generation that it knows.
    pub fn generation(&self) -> u32 {
        self.stored.generation
    }

    /// The end of its readable log.
    pub fn end(&self) -> Point {
        self.end
    }

    /// The last configuration that it knows.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// What an act says of it.
    pub fn survivor(&self) -> Survivor {
        let lost = match self.health {
            Health::Damaged { known_end } => known_end.index,
            Health::Whole | Health::Amnesiac => LogIndex::ZERO,
        };
        Survivor {
            member: self.stored.member,
            end: LogEnd { epoch: self.end.epoch, index: self.end.index },
            known: self.stored.watermark.max(lost),
        }
    }

    /// Whether it could vote again by itself.
    fn is_whole(&self) -> bool {
        self.health == Health::Whole
    }
}

/// The act by which `beginner` goes on alone. `others` are the other survivors that are known of;
/// the one with the most complete log, by (epoch, index) as in elections, has to begin.
///
/// # Errors
/// See [`RecoveryError`].
pub fn plan(
    authority: &Authority,
    beginning: Beginning,
    beginner: &Remains,
    others: &[Remains],
) -> Result<Act, RecoveryError> {
    let Beginning { partition, at, nonce } = beginning;
    let me = beginner.member();
    if !beginner.configuration.contains(&me) {
        return Err(RecoveryError::NotMember(me));
    }
    if others.len() >= SURVIVORS_MAX {
        return Err(RecoveryError::TooManySurvivors);
    }
    if beginner.stored.recoveries.len() >= GENERATIONS_MAX {
        return Err(RecoveryError::Exhausted);
    }
    check_others(beginner, others)?;
    let generation = beginner.generation();
    let of_generation = others.iter().filter(|other| other.generation() == generation);
    let survivors = [beginner].into_iter().chain(of_generation).map(Remains::survivor).collect();
    Ok(Act {
        network: authority.network,
        partition,
        generation: generation + 1,
        earlier: beginner.stored.recoveries.last().map(|recovery| recovery.act.digest()),
        old: beginner.configuration.clone(),
        kept: beginner.end,
        beginner: me,
        survivors,
        at,
        nonce,
    })
}

/// Whether no majority can go on, and no other survivor has to begin instead.
fn check_others(beginner: &Remains, others: &[Remains]) -> Result<(), RecoveryError> {
    let (own, held) = (beginner.survivor(), beginner.generation());
    if let Some(later) = others.iter().map(Remains::generation).find(|other| *other > held) {
        return Err(RecoveryError::Generation { named: held + 1, held: later });
    }
    let of_generation = || others.iter().filter(|other| other.generation() == held);
    let whole = || of_generation().chain([beginner]).filter(|one| one.is_whole());
    let lives = |member: &Member| whole().any(|one| one.member() == *member);
    if beginner.configuration.is_quorum(lives) {
        return Err(RecoveryError::MajorityLives { count: whole().count() });
    }
    let longest = of_generation().map(Remains::survivor).max_by_key(|other| other.end);
    match longest.filter(|other| other.end > own.end) {
        Some(longer) => Err(RecoveryError::Behind { member: longer.member, end: longer.end }),
        None => Ok(()),
    }
}
