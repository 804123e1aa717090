//! Who waits at one replica: for entries to be applied, and for indexes to read at.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use weald_cluster::{configuration::Member, partition::Speculation, replica::ReadId};
use weald_core::{
    Entry, Epoch, LogIndex, Outcome, Payload, Time, TransactionId, UnknownCause,
    limits::ENTRY_BYTES_MAX,
};

use super::{Answer, Caller, Proposal, ProposeError, ReadAsk, ReadRefused, limits::READS_MAX};
use crate::{consistency::Consistency, write::Ack};

/// How long an answer to a question for a read index is waited for before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// So many proposals in a row were alone on their way until the next of them is taken to stay alone.
const ALONE_MIN: u32 = 2;

/// Everybody who waits at a replica.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Proposals of this turn.
    incoming: Vec<Proposal>,
    /// Proposals that have a place in the log.
    pending: BTreeMap<LogIndex, Pending>,
    /// How many proposals in a row, the last among them, were given a place when no other was on its
    /// way.
    alone: u32,
    /// Readers that want an index and have not asked, or not been answered.
    unasked: Vec<Reader>,
    /// Readers whose question is under way, by the question.
    asked: BTreeMap<ReadId, Asked>,
    /// Readers that wait for apply.
    unapplied: BTreeMap<LogIndex, Vec<Reader>>,
    /// Readers that wait until the state here is fresh enough.
    behind: Vec<Reader>,
    read_count: usize,
    last_read: u64,
}

#[derive(Debug)]
struct Asked {
    at: Time,
    readers: Vec<Reader>,
}

/// A proposal that has a place in the log.
#[derive(Debug)]
pub(super) struct Pending {
    /// The epoch in which it was given its place.
    epoch: Epoch,
    /// The entry.
    pub(super) entry: Entry,
    speculating: Speculating,
    caller: Caller<Answer>,
    deadline: Instant,
}

/// What an entry comes to, worked out before it is committed.
#[derive(Debug)]
enum Speculating {
    /// Nobody has tried.
    Due,
    /// `None` when it could not be.
    Done(Option<Box<Speculation>>),
}

/// Somebody who wants to read.
#[derive(Debug)]
struct Reader {
    ask: ReadAsk,
    caller: Caller<Result<LogIndex, ReadRefused>>,
}

impl Pending {
    fn is_of(&self, id: &TransactionId) -> bool {
        match &self.entry.payload {
            Payload::Transaction(request) => request.id == *id,
            Payload::Commit(commit) => commit.id == *id,
            _ => false,
        }
    }

    /// What its entry comes to, if that was told before it is committed.
    pub(super) fn take_speculation(&mut self) -> Option<Speculation> {
        match std::mem::replace(&mut self.speculating, Speculating::Done(None)) {
            Speculating::Done(speculation) => speculation.map(|speculation| *speculation),
            Speculating::Due => None,
        }
    }

    /// Whoever waits for it.
    pub(super) fn into_caller(self) -> Caller<Answer> {
        self.caller
    }

    fn give_up(&mut self, cause: UnknownCause) {
        let caller = std::mem::replace(&mut self.caller, Caller::nobody());
        caller.tell(Answer::Settled(Outcome::Unknown(cause)));
    }
}

/// Proposals.
impl Waiting {
    pub(super) fn propose(&mut self, proposal: Proposal) {
        self.incoming.push(proposal);
    }

    /// The proposals of this turn.
    pub(super) fn take_incoming(&mut self) -> Vec<Proposal> {
        std::mem::take(&mut self.incoming)
    }

    /// Notes that a proposal has a place, given in an epoch, and the log time of its entry.
    pub(super) fn place(&mut self, place: (LogIndex, Epoch), time: Time, proposal: Proposal) {
        let Proposal { payload, terms, caller, .. } = proposal;
        let caller = match terms.ack {
            Ack::Accepted => {
                caller.tell(Answer::Accepted);
                Caller::nobody()
            }
            Ack::Durable => caller,
        };
        let (index, epoch) = place;
        let entry = Entry { time, payload };
        self.alone = if self.pending.is_empty() { self.alone.saturating_add(1) } else { 0 };
        let (speculating, deadline) = (Speculating::Due, terms.deadline);
        self.pending.insert(index, Pending { epoch, entry, speculating, caller, deadline });
    }

    /// The proposal whose entry, of this epoch, is about to be applied. One that another
    /// coordinator's entry has displaced is told so.
    pub(super) fn take(&mut self, index: LogIndex, epoch: Epoch) -> Option<Pending> {
        let mut pending = self.pending.remove(&index)?;
        if pending.epoch == epoch {
            return Some(pending);
        }
        pending.give_up(UnknownCause::TakenOver);
        None
    }

    /// The proposal at `index` if it is alone on its way, as those before it were, and nobody has tried
    /// to tell what its entry comes to. Where there are more, what is in between is time for others.
    pub(super) fn lone(&self, index: LogIndex) -> Option<&Pending> {
        let is_alone = self.alone >= ALONE_MIN && self.pending.len() == 1;
        let lone = self.pending.get(&index).filter(|_| is_alone);
        lone.filter(|pending| matches!(pending.speculating, Speculating::Due))
    }

    /// Notes what the entry of the proposal at `index` comes to.
    pub(super) fn set_speculation(&mut self, index: LogIndex, speculation: Option<Speculation>) {
        if let Some(pending) = self.pending.get_mut(&index) {
            pending.speculating = Speculating::Done(speculation.map(Box::new));
        }
    }

    /// It could not be applied yet.
    pub(super) fn put_back(&mut self, index: LogIndex, pending: Pending) {
        self.pending.insert(index, pending);
    }

    /// Entries from `from` on are gone.
    pub(super) fn cut(&mut self, from: LogIndex) {
        for (_, mut pending) in self.pending.split_off(&from) {
            pending.give_up(UnknownCause::TakenOver);
        }
    }

    /// The log begins after `index`: what was at or below is settled elsewhere.
    pub(super) fn skip(&mut self, index: LogIndex) {
        let kept = self.pending.split_off(&index.next());
        for (_, mut pending) in std::mem::replace(&mut self.pending, kept) {
            pending.give_up(UnknownCause::TakenOver);
        }
    }

    /// Whether the transaction is on its way.
    pub(super) fn holds(&self, id: &TransactionId) -> bool {
        self.pending.values().any(|pending| pending.is_of(id))
    }

    /// Whether no proposal is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.incoming.is_empty() && self.pending.is_empty()
    }
}

/// Readers.
impl Waiting {
    /// Takes a reader in.
    pub(super) fn read(&mut self, ask: ReadAsk, caller: Caller<Result<LogIndex, ReadRefused>>) {
        if self.read_count >= READS_MAX {
            caller.tell(Err(ReadRefused::Busy));
            return;
        }
        self.read_count += 1;
        let reader = Reader { ask, caller };
        match ask.consistency {
            Consistency::Linearizable => self.unasked.push(reader),
            Consistency::Local | Consistency::Stale(_) => self.behind.push(reader),
        }
    }

    /// A question for all readers that have not asked; `None` when there are none.
    pub(super) fn ask(&mut self, now: Time) -> Option<ReadId> {
        if self.unasked.is_empty() {
            return None;
        }
        self.last_read += 1;
        let id = ReadId(self.last_read);
        let readers = std::mem::take(&mut self.unasked);
        self.asked.insert(id, Asked { at: now, readers });
        Some(id)
    }

    /// The readers behind these questions may be answered once `index` is applied.
    pub(super) fn confirm(&mut self, ids: &[ReadId], index: LogIndex) {
        for id in ids {
            for reader in self.asked.remove(id).into_iter().flat_map(|asked| asked.readers) {
                let at = index.max(reader.ask.at_least);
                self.unapplied.entry(at).or_default().push(reader);
            }
        }
    }

    /// These questions have no answer; they are asked again with the next beat.
    pub(super) fn fail(&mut self, ids: &[ReadId]) {
        for id in ids {
            self.unasked.extend(self.asked.remove(id).into_iter().flat_map(|asked| asked.readers));
        }
    }

    /// Questions whose answers may be lost are asked again.
    pub(super) fn ask_again(&mut self, now: Time) {
        let late = |asked: &Asked| now.since(asked.at) >= ASK_AGAIN;
        let ids: Vec<_> =
            self.asked.iter().filter(|(_, asked)| late(asked)).map(|(id, _)| *id).collect();
        self.fail(&ids);
    }

    /// Lets readers go on for whom what is here is fresh enough; `is_fresh` tells.
    pub(super) fn freshen(&mut self, applied: LogIndex, is_fresh: impl Fn(&ReadAsk) -> bool) {
        if self.behind.is_empty() {
            return;
        }
        let (fresh, behind): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.behind).into_iter().partition(|r| is_fresh(&r.ask));
        self.behind = behind;
        for reader in fresh {
            let at = applied.max(reader.ask.at_least);
            self.unapplied.entry(at).or_default().push(reader);
        }
    }

    /// Answers the readers whose index is applied. How many there were.
    pub(super) fn answer(&mut self, applied: LogIndex) -> usize {
        let mut count = 0;
        while self.unapplied.first_key_value().is_some_and(|(index, _)| *index <= applied) {
            let Some((_, readers)) = self.unapplied.pop_first() else { break };
            count += readers.len();
            for reader in readers {
                reader.caller.tell(Ok(applied));
            }
        }
        self.read_count -= count;
        count
    }
}

/// Deadlines and the end.
impl Waiting {
    /// Tells those who have waited past their deadline.
    pub(super) fn expire(&mut self, now: Instant, hint: Option<Member>) {
        for pending in self.pending.values_mut().filter(|pending| pending.deadline <= now) {
            pending.give_up(UnknownCause::Deadline);
        }
        let is_late = |reader: &Reader| reader.ask.deadline <= now;
        let mut late = Vec::new();
        late.extend(self.unasked.extract_if(.., |r| is_late(r)).map(|r| (r, true)));
        for asked in self.asked.values_mut() {
            late.extend(asked.readers.extract_if(.., |r| is_late(r)).map(|r| (r, true)));
        }
        for readers in self.unapplied.values_mut().chain([&mut self.behind]) {
            late.extend(readers.extract_if(.., |r| is_late(r)).map(|r| (r, false)));
        }
        self.read_count -= late.len();
        for (reader, is_unconfirmed) in late {
            reader.caller.tell(Err(match is_unconfirmed {
                true => ReadRefused::NotConfirmed { hint },
                false => ReadRefused::Behind { age: None },
            }));
        }
    }

    /// Nobody here will be answered any more.
    pub(super) fn abandon(&mut self) {
        for proposal in std::mem::take(&mut self.incoming) {
            proposal.refuse(ProposeError::Stopped);
        }
        for (_, mut pending) in std::mem::take(&mut self.pending) {
            pending.give_up(UnknownCause::Stopped);
        }
        self.dismiss(ReadRefused::Stopped);
    }

    /// No reader here will be answered any more.
    pub(super) fn dismiss(&mut self, refused: ReadRefused) {
        let asked = std::mem::take(&mut self.asked).into_values().flat_map(|asked| asked.readers);
        let unapplied = std::mem::take(&mut self.unapplied).into_values().flatten();
        let (unasked, behind) =
            (std::mem::take(&mut self.unasked), std::mem::take(&mut self.behind));
        for reader in unasked.into_iter().chain(asked).chain(unapplied).chain(behind) {
            reader.caller.tell(Err(refused));
        }
        self.read_count = 0;
    }
}

/// The most bytes that a proposal may have.
pub(super) fn proposal_bytes_max() -> usize {
    ENTRY_BYTES_MAX - weald_cluster::replica::ENTRY_HEAD_LEN
}
