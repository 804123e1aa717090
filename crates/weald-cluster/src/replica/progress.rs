//! What a coordinator knows of one member, and how much it may send to it.

use std::collections::VecDeque;

use weald_core::{LogIndex, Time};

use super::{AckRefusal, Heard, Point};

/// How entries are sent to a member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Flow {
    /// Its log is not known yet: one message at a time.
    Probe {
        /// Whether one is under way.
        is_sent: bool,
    },
    /// Entries are sent as they come, up to the window.
    Stream,
    /// Entries are being read from the disk for it.
    Fetch {
        /// They are a probe.
        is_probe: bool,
    },
    /// What it needs is no longer in the log: it was offered a snapshot.
    Snapshot,
}

/// One member as its coordinator sees it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Progress {
    /// Up to here its log is synced and agrees.
    pub(super) matched: LogIndex,
    /// The next entry to send.
    pub(super) next: LogIndex,
    pub(super) flow: Flow,
    /// When it was last heard in this epoch.
    pub(super) heard: Option<Time>,
    /// The last confirmation round that it has answered.
    pub(super) round: u64,
    /// The last one that it has answered in its present run.
    heard_round: Option<Heard>,
    /// The same when the round began by which the coordinator will next know how fresh it is, and
    /// when the one began by which it knows.
    heard_then: [Option<Heard>; 2],
    /// The watermark that it was last told.
    pub(super) watermark_sent: LogIndex,
    /// The entry that it refuses for its time, until it has taken it, and since when it does.
    refused: Option<(LogIndex, Time)>,
    /// The point before `next`, where it was read from the disk.
    pub(super) read_before: Option<Point>,
    /// A round and the entry that was next when the round was begun: who answers the round and
    /// wants an earlier one has lost something.
    check: Option<(u64, LogIndex)>,
    /// The member has begun anew and holds entries before this one, which it does not know to agree
    /// until a message names the last of them.
    unsure_before: Option<LogIndex>,
    /// The least and the greatest entry from which was sent again for a gap since the last round.
    resent: Option<(LogIndex, LogIndex)>,
    in_flight: VecDeque<(LogIndex, usize)>,
    in_flight_bytes: usize,
}

impl Progress {
    pub(super) fn new(next: LogIndex) -> Self {
        Self {
            matched: LogIndex::ZERO,
            next,
            flow: Flow::Probe { is_sent: false },
            heard: None,
            round: 0,
            heard_round: None,
            heard_then: [None; 2],
            watermark_sent: LogIndex::ZERO,
            refused: None,
            read_before: None,
            check: None,
            unsure_before: None,
            resent: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// Whether another message with entries may leave now.
    pub(super) fn may_send(&self, window_bytes: usize) -> bool {
        match self.flow {
            Flow::Probe { is_sent } => !is_sent,
            Flow::Stream => self.in_flight_bytes < window_bytes,
            Flow::Fetch { .. } | Flow::Snapshot => false,
        }
    }

    /// Entries have to be read from the disk.
    pub(super) fn begin_fetch(&mut self) {
        let is_probe = matches!(self.flow, Flow::Probe { .. });
        self.flow = Flow::Fetch { is_probe };
    }

    /// They have been read and may leave.
    pub(super) fn end_fetch(&mut self, is_probe: bool) {
        self.flow = match is_probe {
            true => Flow::Probe { is_sent: false },
            false => Flow::Stream,
        };
    }

    /// Notes that entries up to `last` have left.
    pub(super) fn sent(&mut self, last: LogIndex, bytes: usize) {
        match &mut self.flow {
            Flow::Probe { is_sent } => *is_sent = true,
            _ => {
                self.next = last.next();
                self.in_flight.push_back((last, bytes));
                self.in_flight_bytes += bytes;
            }
        }
    }

    /// Notes that a round begins; what was sent before it should have arrived when it is answered.
    pub(super) fn begin_round(&mut self, round: u64) {
        self.check.get_or_insert((round, self.next));
        self.resent = None;
        if let Flow::Probe { is_sent } = &mut self.flow {
            *is_sent = false;
        }
    }

    /// Notes which round an answer names, in which run of the member it was given, and the next entry
    /// that the member wants.
    pub(super) fn note_heard(&mut self, answer: Heard, wants: LogIndex) {
        if self.heard_round.is_some_and(|known| known.run != answer.run) {
            self.unsure_before = Some(wants);
        }
        let is_later = |known: Heard| known.run != answer.run || known.round < answer.round;
        if self.heard_round.is_none_or(is_later) {
            self.heard_round = Some(answer);
        }
    }

    /// A round begins that is to tell how fresh the coordinator is.
    pub(super) fn begin_contact(&mut self) {
        self.heard_then[0] = self.heard_round;
    }

    /// A quorum has confirmed that round.
    pub(super) fn confirm_contact(&mut self) {
        self.heard_then[1] = self.heard_then[0];
    }

    /// The answer that had arrived when the last such round began.
    pub(super) fn heard_before_contact(&self) -> Option<Heard> {
        self.heard_then[1]
    }

    /// Notes that the member refuses the entry at `wants` for its time, or that it says nothing of
    /// the kind: a refusal holds until the member wants a later entry.
    pub(super) fn note_refusal(&mut self, wants: LogIndex, is_refused: bool, now: Time) {
        let known = self.refused;
        self.refused = match is_refused {
            true => known.filter(|(refused, _)| *refused == wants).or(Some((wants, now))),
            false => known.filter(|(refused, _)| wants <= *refused),
        };
    }

    /// The entry above `watermark` that it refuses for its time, and since when (rule C14).
    pub(super) fn refused_above(&self, watermark: LogIndex) -> Option<(LogIndex, Time)> {
        self.refused.filter(|(refused, _)| *refused > watermark.max(self.matched))
    }

    /// Takes the member's word for where its log ends, and for what it has not taken. Whether
    /// `matched` has moved.
    pub(super) fn acknowledged(
        &mut self,
        matched: LogIndex,
        (wants, refusal): (LogIndex, Option<AckRefusal>),
        round: u64,
    ) -> bool {
        self.round = self.round.max(round);
        let has_moved = matched > self.matched;
        let has_lost = self.flow == Flow::Stream && self.has_lost(matched, wants, round);
        self.matched = self.matched.max(matched);
        while self.in_flight.front().is_some_and(|(last, _)| *last <= self.matched) {
            let (_, bytes) = self.in_flight.pop_front().expect("it was looked at");
            self.in_flight_bytes -= bytes;
        }
        match refusal {
            Some(AckRefusal::Clock | AckRefusal::Full) if has_lost || wants > self.matched => {
                self.wait_for_round(wants);
            }
            // It may lack what it had acknowledged, or have begun anew and not know what agrees.
            _ if has_lost => self.probe_from(wants, false),
            Some(AckRefusal::Gap | AckRefusal::Evicted) => self.close_gap(wants),
            None if self.is_waiting(has_moved) => self.send_from(wants),
            None | Some(AckRefusal::Clock | AckRefusal::Full) => {}
        }
        has_moved
    }

    /// Whether any answer without a refusal lets entries flow.
    fn is_waiting(&self, has_moved: bool) -> bool {
        matches!(self.flow, Flow::Probe { .. }) || (self.flow == Flow::Snapshot && has_moved)
    }

    /// The member does not take the entry at `wants` for now: it is sent again once in a round, and
    /// nothing after it.
    fn wait_for_round(&mut self, wants: LogIndex) {
        if matches!(self.flow, Flow::Stream | Flow::Probe { .. }) {
            self.probe_from(wants, true);
        }
    }

    /// The member lacks what comes before something that has arrived. All that was sent after the
    /// gap is answered so: one message goes out for it, and what it has fills the rest.
    fn close_gap(&mut self, wants: LogIndex) {
        let (least, greatest) = self.resent.unwrap_or((LogIndex(u64::MAX), LogIndex::ZERO));
        let is_open = matches!(self.flow, Flow::Stream | Flow::Probe { .. });
        if is_open && (wants < least || wants > greatest) {
            self.resent = Some((least.min(wants), greatest.max(wants)));
            self.probe_from(wants, false);
        }
    }

    fn probe_from(&mut self, wants: LogIndex, is_sent: bool) {
        self.send_from(wants);
        self.flow = Flow::Probe { is_sent };
    }

    /// Begins again at `wants`, which may be below what matched: it may have been lost since.
    pub(super) fn send_from(&mut self, wants: LogIndex) {
        self.next = wants;
        self.flow = Flow::Stream;
        self.check = None;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }

    fn has_lost(&mut self, matched: LogIndex, wants: LogIndex, round: u64) -> bool {
        self.unsure_before = self.unsure_before.filter(|next| matched.next() < *next);
        let is_unsure = self.unsure_before.is_some();
        let answered = self.check.take_if(|(asked, _)| *asked <= round);
        answered.is_some_and(|(_, next)| wants < next || matched < self.matched || is_unsure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Run;

    fn streaming() -> Progress {
        let mut progress = Progress::new(LogIndex(5));
        assert!(!progress.acknowledged(LogIndex(0), (LogIndex(5), None), 0));
        progress
    }

    #[test]
    fn a_probe_waits_for_its_answer_or_the_next_round() {
        let mut progress = Progress::new(LogIndex(5));
        assert!(progress.may_send(100));
        progress.sent(LogIndex(5), 10);
        assert!(!progress.may_send(100));
        progress.begin_round(1);
        assert!(progress.may_send(100), "the probe or its answer may be lost");
    }

    #[test]
    fn the_window_is_counted_in_bytes_and_freed_by_what_matches() {
        let mut progress = streaming();
        progress.sent(LogIndex(5), 60);
        progress.sent(LogIndex(6), 60);
        assert!(!progress.may_send(100) && progress.in_flight_bytes == 120);
        assert!(progress.acknowledged(LogIndex(5), (LogIndex(7), None), 0));
        assert!(progress.may_send(100));
        assert!(!progress.acknowledged(LogIndex(5), (LogIndex(7), None), 0), "a repeated answer");
    }

    #[test]
    fn w82_what_was_lost_is_noticed_by_the_round_after_it() {
        let mut progress = streaming();
        progress.sent(LogIndex(5), 60);
        progress.acknowledged(LogIndex(4), (LogIndex(5), None), 0);
        assert_eq!(progress.next, LogIndex(6), "an answer from before the entry was sent");
        progress.begin_round(1);
        progress.acknowledged(LogIndex(4), (LogIndex(5), None), 1);
        assert_eq!((progress.next, progress.in_flight_bytes), (LogIndex(5), 0));
    }

    #[test]
    fn w82_a_member_that_begins_anew_is_probed_until_it_knows_that_its_log_agrees() {
        let heard = |incarnation, round| Heard { run: Run { incarnation, nonce: 1 }, round };
        let mut progress = streaming();
        progress.note_heard(heard(1, 1), LogIndex(5));
        progress.acknowledged(LogIndex(4), (LogIndex(5), None), 1);
        progress.sent(LogIndex(5), 10);
        // It has the entry; its answer is lost with its run.
        for round in 2..4 {
            progress.note_heard(heard(2, round), LogIndex(6));
            progress.begin_round(round);
            assert!(!progress.acknowledged(LogIndex(4), (LogIndex(6), None), round));
            assert_eq!((progress.next, progress.may_send(100)), (LogIndex(6), true));
            assert_eq!(progress.flow, Flow::Probe { is_sent: false });
            progress.sent(LogIndex(5), 0);
            // The probe is lost, too, and the answer to a round comes.
            assert!(!progress.acknowledged(LogIndex(4), (LogIndex(6), None), round));
            assert_eq!(progress.flow, Flow::Stream);
        }
        assert!(progress.acknowledged(LogIndex(5), (LogIndex(6), None), 4));
        progress.begin_round(5);
        progress.acknowledged(LogIndex(5), (LogIndex(6), None), 5);
        assert_eq!(progress.flow, Flow::Stream, "it knows");
    }

    #[test]
    fn w43_one_message_goes_out_for_a_gap_however_many_tell_of_it() {
        let mut progress = streaming();
        for index in 5..9 {
            progress.sent(LogIndex(index), 10);
        }
        let gap = |wants| (LogIndex(wants), Some(AckRefusal::Gap));
        progress.acknowledged(LogIndex(4), gap(5), 0);
        assert!(progress.may_send(100) && progress.next == LogIndex(5));
        progress.sent(LogIndex(5), 10);
        progress.acknowledged(LogIndex(4), gap(5), 0);
        progress.acknowledged(LogIndex(4), gap(5), 0);
        assert!(!progress.may_send(100), "it is on its way");
        progress.acknowledged(LogIndex(5), (LogIndex(9), None), 0);
        assert_eq!((progress.next, progress.flow), (LogIndex(9), Flow::Stream));
        progress.acknowledged(LogIndex(4), gap(5), 0);
        assert_eq!(progress.flow, Flow::Stream, "a late answer");
    }

    #[test]
    fn what_is_refused_for_now_waits_for_the_next_round_and_nothing_follows_it() {
        for refusal in [AckRefusal::Clock, AckRefusal::Full] {
            let mut progress = streaming();
            progress.sent(LogIndex(5), 10);
            progress.sent(LogIndex(6), 10);
            let refused = (LogIndex(5), Some(refusal));
            progress.acknowledged(LogIndex(4), refused, 0);
            progress.acknowledged(LogIndex(4), refused, 0);
            assert!(!progress.may_send(100) && progress.next == LogIndex(5));
            progress.begin_round(1);
            assert!(progress.may_send(100));
            progress.sent(LogIndex(5), 10);
            progress.acknowledged(LogIndex(4), refused, 1);
            assert!(!progress.may_send(100), "the answer to the round repeats it");
            progress.acknowledged(LogIndex(4), (LogIndex(6), None), 1);
            assert_eq!((progress.next, progress.flow), (LogIndex(6), Flow::Stream));
        }
    }

    #[test]
    fn a_refusal_lasts_from_when_the_entry_was_first_refused() {
        let at = Time::from_millis;
        let mut progress = streaming();
        progress.note_refusal(LogIndex(5), true, at(100));
        progress.note_refusal(LogIndex(5), true, at(200));
        progress.note_refusal(LogIndex(5), false, at(300));
        assert_eq!(progress.refused_above(LogIndex(4)), Some((LogIndex(5), at(100))));
        assert_eq!(progress.refused_above(LogIndex(5)), None, "it is committed");
        progress.note_refusal(LogIndex(6), true, at(400));
        assert_eq!(
            progress.refused_above(LogIndex(4)),
            Some((LogIndex(6), at(400))),
            "it took one"
        );
        progress.note_refusal(LogIndex(7), false, at(500));
        assert_eq!(progress.refused_above(LogIndex(4)), None);
    }

    #[test]
    fn entries_from_the_disk_fill_the_window_as_others_do() {
        let mut progress = streaming();
        progress.sent(LogIndex(5), 60);
        progress.begin_fetch();
        progress.end_fetch(false);
        progress.sent(LogIndex(6), 60);
        assert!(!progress.may_send(100));
    }
}
