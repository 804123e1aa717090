//! How members come to live here: those that the log knows from earlier runs, and new ones.

use weald_cluster::replica::{
    Health, Input, LogEntry, PersistTicket, Point, Restart, SnapshotMeta, State, Stored,
};
use weald_core::{
    LogBatch, LogIndex, LogPoint, LogStore, PartitionHealth, PartitionId, RecoveredPartition,
    StateError, StateStore, Time,
};

use super::{
    HostError, StartError,
    clerk::read_entries,
    desk::{Desk, Kept},
    event::{HostAs, Hosting},
    office::Office,
    replica::{Beginning, Replica},
};

/// Bytes read from the log at once.
const PAGE_BYTES: usize = 4 << 20;

/// The members that the log knows. One of which the log has lost who it was comes back once the
/// partition's coordinator says that it is one: see [`host`].
pub(super) fn recover(office: &Office) -> Result<Vec<Replica>, StartError> {
    let mut replicas = Vec::new();
    for (partition, found) in office.log.recovered() {
        let Some(state) = &found.state else {
            tracing::error!(target: "weald::members", %partition, "the log has lost who lived here");
            continue;
        };
        let kept = Kept::decode(state)
            .map_err(|error| StartError::Damaged(format!("partition={partition} {error}")))?;
        replicas.push(reopen(office, (partition, &found), kept)?);
    }
    Ok(replicas)
}

/// Begins a member that is new here. Where the log may have forgotten that it lived here before, or how
/// it ended, it begins as one that has lost what it promised, and asks for its next life (rule C11).
pub(super) fn host(office: &Office, hosting: Hosting) -> Result<Replica, HostError> {
    let Hosting { partition, configuration, beginning } = hosting;
    let member = match beginning {
        HostAs::Member(member) => member,
        HostAs::Named => {
            let own = configuration.members().filter(|member| member.peer == office.me.peer);
            own.max_by_key(|member| member.life).unwrap_or(office.me)
        }
    };
    let known = office.log.status(partition);
    let is_lost = known.is_some_and(|known| known.health == PartitionHealth::Amnesiac);
    let kept = Kept { is_lost, ..Kept::whole(Stored::founding(member, configuration)) };
    // An earlier life on this disk ended when its member was removed, or lost what it promised: nobody counts on it.
    let has_lived = known.is_some();
    let state = Some(kept.encode());
    let ticket = office.log.begin_anew(LogBatch { partition, state, ..LogBatch::default() })?;
    let health = if is_lost { Health::Amnesiac } else { Health::Whole };
    let log = (Point::default(), Vec::new());
    let begun = Begun { kept, health, log, restarts: false, is_new: true };
    let mut replica = begin(office, partition, begun)?;
    replica.desk.note(ticket, PersistTicket::default());
    // The clerk may still have to switch in what an earlier life had fetched: this comes after it.
    if has_lived || replica.has_state() {
        replica.begin_anew(office);
    }
    Ok(replica)
}

/// What a member begins a run with.
pub(super) struct Begun {
    pub(super) kept: Kept,
    pub(super) health: Health,
    pub(super) log: (Point, Vec<LogEntry>),
    /// The log on the disk does not know yet that it begins there.
    pub(super) restarts: bool,
    /// It begins with nothing, whatever an earlier life has left here.
    pub(super) is_new: bool,
}

fn reopen(
    office: &Office,
    (partition, found): (PartitionId, &RecoveredPartition),
    kept: Kept,
) -> Result<Replica, StartError> {
    let (_, machine) = office.stores.open(partition)?;
    let begun = self::found(&*office.log, (partition, found), kept, machine.applied());
    begin(office, partition, begun).map_err(StartError::from)
}

/// What a member begins with of which the log has `found` this, beside a state at `applied`.
pub(super) fn found(
    log: &dyn LogStore,
    (partition, found): (PartitionId, &RecoveredPartition),
    kept: Kept,
    applied: LogIndex,
) -> Begun {
    let health = health_of(found, &kept);
    let mut begun = Begun { kept, health, log: Default::default(), restarts: false, is_new: false };
    match read_log(log, partition, found, applied) {
        Ok((before, _)) if begun.is_of_another(&before) => {
            let why = "a snapshot stands where the log has another entry";
            begun.take_installed(applied, why);
        }
        Ok(log) => begun.log = log,
        Err(error) => begun.take_installed(applied, &error),
    }
    begun
}

fn health_of(found: &RecoveredPartition, kept: &Kept) -> Health {
    match found.health {
        _ if kept.is_lost => Health::Amnesiac,
        PartitionHealth::Intact | PartitionHealth::Torn => Health::Whole,
        PartitionHealth::Damaged { known_end } => {
            let last = LogPoint { index: known_end, epoch: found.last_epoch };
            Health::damaged(last, &kept.stored)
        }
        PartitionHealth::Amnesiac => Health::Amnesiac,
    }
}

impl Begun {
    /// Whether the state is a snapshot that was switched in and `before` is what the log has there: the
    /// end of a history that is over, which the log was about to let go of.
    fn is_of_another(&self, before: &Point) -> bool {
        let installing = self.kept.installing.clone().map(SnapshotMeta::from);
        installing.is_some_and(|meta| meta.point.index == before.index && meta.point != *before)
    }

    /// The log does not meet the state. Where a snapshot was being switched in, the log has not
    /// learned of it: it goes on after it. Otherwise what the state came from is lost.
    fn take_installed(&mut self, applied: LogIndex, why: &str) {
        let installing = self.kept.installing.take().map(SnapshotMeta::from);
        // One that has lost entries beyond the snapshot would forget that there were more (rule C11).
        let known_end = match self.health {
            Health::Damaged { known_end } => known_end.index,
            Health::Whole | Health::Amnesiac => LogIndex::ZERO,
        };
        match installing.filter(|meta| meta.point.index == applied && applied >= known_end) {
            Some(meta) => {
                let stored = &mut self.kept.stored;
                stored.base = meta.point;
                stored.watermark = meta.point.index;
                stored.configurations.committed = meta.configuration;
                stored.configurations.chain = meta.configurations;
                stored.configurations.uncertified.clear();
                self.log = (meta.point, Vec::new());
                self.restarts = true;
            }
            None => {
                tracing::error!(target: "weald::members", why, "the log does not meet the state");
                self.health = Health::Amnesiac;
                self.log = Default::default();
            }
        }
    }
}

/// The point at `applied` and the entries after it, as far as the log is whole.
fn read_log(
    log: &dyn LogStore,
    partition: PartitionId,
    found: &RecoveredPartition,
    applied: LogIndex,
) -> Result<(Point, Vec<LogEntry>), String> {
    let base = Kept::decode(found.state.as_deref().unwrap_or_default())
        .map_or_else(|_| Point::default(), |kept| kept.stored.base);
    let mut from = if applied > base.index { applied } else { base.index.next() };
    let mut before = base;
    let missing = log.missing(partition);
    let end = missing.iter().map(|range| *range.start()).find(|start| *start >= from);
    let last = end.map_or(found.last, |missing| LogIndex(missing.0 - 1));
    let mut entries: Vec<LogEntry> = Vec::new();
    while from <= last {
        let page = read_entries(log, partition, from, PAGE_BYTES)?;
        if page.is_empty() {
            break;
        }
        for entry in page.into_iter().filter(|entry| entry.index() <= last) {
            from = entry.index().next();
            if entry.index() == applied {
                before = *entry.point();
            } else {
                entries.push(entry);
            }
        }
    }
    check_chain(&before, &entries, applied)?;
    Ok((before, entries))
}

fn check_chain(before: &Point, entries: &[LogEntry], applied: LogIndex) -> Result<(), String> {
    if before.index != applied {
        return Err(format!("the state is at {applied}, the log begins after {}", before.index));
    }
    let mut last = *before;
    for entry in entries {
        if !entry.continues(&last) {
            return Err(format!("an entry does not continue the log: index={}", entry.index()));
        }
        last = *entry.point();
    }
    Ok(())
}

/// Opens the state of a partition and puts the member together.
fn begin(office: &Office, partition: PartitionId, begun: Begun) -> Result<Replica, StateError> {
    let Begun { kept, health, log: (before, entries), restarts, is_new } = begun;
    let (store, machine) = office.stores.open(partition)?;
    let is_empty = health == Health::Amnesiac || is_new;
    let known_end = match health {
        Health::Damaged { known_end } => Some(known_end),
        _ => None,
    };
    let restart = Restart {
        member: kept.stored.member,
        incarnation: office.incarnation,
        started: office.clocks.started_wall(),
        health,
        stored: kept.stored.clone(),
        applied: if is_empty { LogIndex::ZERO } else { store.applied() },
        applied_time: if is_empty { Time::ZERO } else { machine.time() },
        before: if is_empty { Point::default() } else { before },
        entries: if is_empty { Vec::new() } else { entries },
    };
    let seed = office.seed ^ (u64::from(partition.0) << 32);
    let config = office.config.replica.clone();
    let mut state = State::new(config, partition, restart, (office.now, seed));
    if machine.applied() > LogIndex::ZERO && !is_empty {
        let (index, effect) = (machine.applied(), machine.effect_hash());
        state.handle(office.now, Input::Applied { index, effect });
    }
    let mut desk = Desk::new(partition, kept, known_end);
    if restarts {
        desk.restart(before);
    }
    let beginning = Beginning { state, partition: machine, store, applied: before, desk };
    Ok(Replica::new(beginning, office.now.steady))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weald_cluster::{
        configuration::{Configuration, Member, Placed},
        replica::EntryKind,
    };
    use weald_core::{Digest, Epoch, PeerId, StoreId};
    use weald_storage::log::MemoryLog;

    use super::*;

    const P: PartitionId = PartitionId(3);

    fn chain(number: u64) -> Vec<LogEntry> {
        let mut last = Point::default();
        let epoch = Epoch { number, campaigner: None };
        let next = |_| {
            let entry = LogEntry::new(&last, epoch, Time::ZERO, (EntryKind::Command, b"entry"));
            last = *entry.point();
            entry
        };
        (1..=10).map(next).collect()
    }

    /// A log of ten entries whose member was about to install a snapshot at the fourth of `installing`,
    /// and whose state is there.
    fn reopened(installing: &[LogEntry], health: PartitionHealth) -> Begun {
        let log = MemoryLog::new(Arc::new(|| {}));
        let entries = chain(1).iter().map(LogEntry::record).collect();
        log.submit(LogBatch { partition: P, entries, ..LogBatch::default() }).unwrap();
        let peer = PeerId::from_digest(Digest::of("weald test", &[b"opening"]));
        let member = Member { peer, store: StoreId([1; 16]), life: 0 };
        let configuration = Configuration::founding([member], []).unwrap();
        let meta = SnapshotMeta {
            point: *installing[3].point(),
            time: Time::ZERO,
            configurations: Vec::new(),
            configuration: Placed { index: LogIndex::ZERO, configuration: configuration.clone() },
            effect: Digest::of("effect", &[]),
        };
        let mut kept = Kept::whole(Stored::founding(member, configuration));
        kept.installing = Some(meta.into());
        let (state, last) = (Some(kept.encode()), LogIndex(10));
        let (first, last_epoch) = (LogIndex(1), Epoch::default());
        let recovered = RecoveredPartition { health, state, first, last, last_epoch };
        found(&log, (P, &recovered), kept, LogIndex(4))
    }

    #[test]
    fn c15_a_snapshot_that_was_switched_in_is_gone_on_with_where_the_log_has_another_entry() {
        let installed = chain(2);
        let begun = reopened(&installed, PartitionHealth::Intact);
        let point = *installed[3].point();
        assert_eq!(
            (begun.log, begun.restarts, begun.health),
            ((point, Vec::new()), true, Health::Whole)
        );
        assert_eq!((begun.kept.stored.base, begun.kept.stored.watermark), (point, point.index));
        assert_eq!(begun.kept.installing, None);
    }

    #[test]
    fn a_log_that_has_what_was_installed_is_kept() {
        let held = chain(1);
        let begun = reopened(&held, PartitionHealth::Intact);
        assert_eq!((begun.log.0, begun.log.1.len(), begun.restarts), (*held[3].point(), 6, false));
    }

    #[test]
    fn c11_a_damaged_log_is_not_replaced_by_a_snapshot_before_its_end() {
        let known_end = LogIndex(10);
        let begun = reopened(&chain(2), PartitionHealth::Damaged { known_end });
        assert_eq!((begun.health, begun.restarts), (Health::Amnesiac, false));
    }
}
