//! Linearizable reads by confirmation rounds (rule C7).

use weald_core::LogIndex;

use super::{Message, Now, Output, ReadId, RoleState, Run, State};
use crate::{configuration::Member, mutation::Mutation};

/// Who waits for a read index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Reader {
    Here(ReadId),
    At(Asker, ReadId),
}

/// A member that asked, in which of its runs: a later run's reads have the same names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Asker {
    member: Member,
    run: Run,
}

/// Reads at a coordinator: those that wait for a round to begin, and those that a round confirms.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Reads {
    waiting: Vec<Reader>,
    confirming: Vec<Round>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Round {
    round: u64,
    index: LogIndex,
    readers: Vec<Reader>,
}

impl Reads {
    /// The reads that wait are confirmed by `round`, which begins now, and see at least `index`.
    pub(super) fn begin_round(&mut self, round: u64, index: LogIndex) {
        if !self.waiting.is_empty() {
            let readers = std::mem::take(&mut self.waiting);
            self.confirming.push(Round { round, index, readers });
        }
    }

    fn wants_round(&self) -> bool {
        self.confirming.is_empty() && !self.waiting.is_empty()
    }

    fn len(&self) -> usize {
        let confirming = self.confirming.iter().map(|round| round.readers.len());
        self.waiting.len() + confirming.sum::<usize>()
    }

    fn take_confirmed(&mut self, round: u64) -> Vec<Round> {
        let is_confirmed = |waiting: &Round| waiting.round <= round;
        let (confirmed, left) =
            std::mem::take(&mut self.confirming).into_iter().partition(is_confirmed);
        self.confirming = left;
        confirmed
    }

    fn into_readers(self) -> Vec<Reader> {
        let confirming = self.confirming.into_iter().flat_map(|round| round.readers);
        self.waiting.into_iter().chain(confirming).collect()
    }
}

impl State {
    /// Asks for an index that a linearizable read must see. The answer is [`Output::ReadReady`] or
    /// [`Output::ReadFailed`]; it may also get lost with a message, so the caller has a deadline.
    pub fn read(&mut self, now: Now, id: ReadId) {
        self.advance_clock(now);
        match (&self.role, self.following.coordinator) {
            (RoleState::Coordinator(_), _) => self.add_reader(Reader::Here(id)),
            (_, Some(coordinator)) => self.send(coordinator, Message::ReadIndex { ids: vec![id] }),
            _ => self.outputs.push_back(Output::ReadFailed { ids: vec![id] }),
        }
        self.settle();
    }

    pub(super) fn handle_read_index(&mut self, from: Member, ids: Vec<ReadId>) {
        let run = self.peers.get(&from).map(|peer| peer.run).unwrap_or_default();
        if matches!(self.role, RoleState::Coordinator(_)) {
            let asker = Asker { member: from, run };
            ids.into_iter().for_each(|id| self.add_reader(Reader::At(asker, id)));
        } else {
            self.send(from, Message::ReadIndexReply { run, ids, index: None });
        }
    }

    /// An answer to `run` of this member. What an earlier run asked says nothing to this one, whose
    /// reads began later.
    pub(super) fn handle_read_index_reply(
        &mut self,
        run: Run,
        ids: Vec<ReadId>,
        index: Option<LogIndex>,
    ) {
        if run == self.run {
            self.answer_here(ids, index);
        }
    }

    fn answer_here(&mut self, ids: Vec<ReadId>, index: Option<LogIndex>) {
        self.outputs.push_back(match index {
            Some(index) => Output::ReadReady { ids, index },
            None => Output::ReadFailed { ids },
        });
    }

    fn add_reader(&mut self, reader: Reader) {
        let max = self.config.reads_max;
        let RoleState::Coordinator(coordinator) = &mut self.role else { return };
        if coordinator.reads.len() >= max {
            return self.answer_readers(vec![reader], None);
        }
        let may_answer =
            coordinator.has_own_commit || self.config.breaks(Mutation::ReadBeforeOwnEntry);
        if may_answer && self.config.breaks(Mutation::ReadWithoutRound) {
            let index = self.watermark;
            return self.answer_readers(vec![reader], Some(index));
        }
        coordinator.reads.waiting.push(reader);
        self.release_reads();
    }

    /// A round may have been confirmed by a quorum: then this member coordinated when it began.
    pub(super) fn note_confirmed(&mut self) {
        let confirmed = self.confirmed_round();
        if let RoleState::Coordinator(coordinator) = &mut self.role {
            coordinator.confirm_contact(confirmed);
        }
        self.release_reads();
    }

    /// The last round that a quorum has answered.
    fn confirmed_round(&self) -> u64 {
        let RoleState::Coordinator(coordinator) = &self.role else { return 0 };
        let confirmed = self.quorum_value(|member| {
            let answered = coordinator.progress.get(member).map_or(0, |progress| progress.round);
            if *member == self.me { coordinator.round } else { answered }
        });
        confirmed + u64::from(self.config.breaks(Mutation::ReadByEarlierRound))
    }

    /// Answers the reads whose round a quorum has confirmed, and begins a round for the others.
    pub(super) fn release_reads(&mut self) {
        let RoleState::Coordinator(coordinator) = &self.role else { return };
        let may_answer =
            coordinator.has_own_commit || self.config.breaks(Mutation::ReadBeforeOwnEntry);
        if !may_answer {
            return;
        }
        let confirmed = self.confirmed_round();
        let RoleState::Coordinator(coordinator) = &mut self.role else { return };
        let rounds = coordinator.reads.take_confirmed(confirmed);
        let wants_round = coordinator.reads.wants_round();
        for Round { index, readers, .. } in rounds {
            self.answer_readers(readers, Some(index));
        }
        if wants_round {
            self.begin_round();
        }
    }

    /// The coordination ended: nobody may answer these reads.
    pub(super) fn fail_reads(&mut self, reads: Reads) {
        let readers = reads.into_readers();
        if !readers.is_empty() {
            self.answer_readers(readers, None);
        }
    }

    fn answer_readers(&mut self, readers: Vec<Reader>, index: Option<LogIndex>) {
        let mut here = Vec::new();
        for reader in readers {
            match reader {
                Reader::Here(id) => here.push(id),
                Reader::At(Asker { member, run }, id) => {
                    self.send(member, Message::ReadIndexReply { run, ids: vec![id], index });
                }
            }
        }
        if !here.is_empty() {
            self.answer_here(here, index);
        }
    }
}
