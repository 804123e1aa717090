//! Feeding members: entries from memory while they keep up, from the disk when they lag, a snapshot
//! when the log no longer holds what they lack (rules C3, C6, C15).

use weald_core::LogIndex;

use super::{LogEntry, Message, Output, Point, ReplicateWrite, RoleState, State, progress::Flow};
use crate::configuration::Member;

impl State {
    /// Sends every member what it lacks, and the watermark to who lacks nothing else.
    pub(super) fn send_to_members(&mut self) {
        self.track_members();
        let RoleState::Coordinator(coordinator) = &self.role else { return };
        let members: Vec<_> = coordinator.progress.keys().copied().collect();
        for member in members {
            self.send_entries(member);
            self.send_watermark(member);
        }
    }

    fn send_entries(&mut self, to: Member) {
        loop {
            let (window, last) = (self.config.window_bytes_max, self.log.last_index());
            let Some(progress) = self.progress_mut(to) else { return };
            let next = progress.next.min(last.next());
            progress.next = next;
            if !progress.may_send(window) || (next > last && progress.flow == Flow::Stream) {
                return;
            }
            let before = LogIndex(next.0 - 1);
            let Some(before) = self.log.point(before).copied() else {
                return self.fetch(to, next);
            };
            let entries = match next > last {
                true => Vec::new(),
                false => self.log.run(next, self.config.append_bytes_max),
            };
            self.send_write(to, before, entries);
        }
    }

    fn send_write(&mut self, to: Member, before: Point, entries: Vec<LogEntry>) {
        let (epoch, watermark) = (self.promised, self.watermark);
        let RoleState::Coordinator(coordinator) = &mut self.role else { return };
        let round = coordinator.round;
        let Some(progress) = coordinator.progress.get_mut(&to) else { return };
        let bytes = entries.iter().map(LogEntry::len).sum();
        progress.sent(entries.last().map_or(before.index, LogEntry::index), bytes);
        progress.watermark_sent = watermark;
        let write = ReplicateWrite { epoch, before, entries, watermark, round };
        self.send(to, Message::ReplicateWrite(write));
    }

    /// What the member lacks is no longer in memory. The entry before it is read too: its hash is
    /// what the member compares.
    fn fetch(&mut self, to: Member, next: LogIndex) {
        let max_bytes = self.config.append_bytes_max;
        let from = LogIndex(next.0 - u64::from(self.point_before(next).is_none()));
        if let Some(progress) = self.progress_mut(to) {
            progress.begin_fetch();
            self.outputs.push_back(Output::Fetch { to, from, max_bytes });
        }
    }

    /// The point before an entry that is not in memory, where it is known without reading.
    fn point_before(&self, next: LogIndex) -> Option<Point> {
        let known = [Point::default(), self.base].into_iter().chain(self.snapshot);
        known.into_iter().find(|point| point.index.next() == next)
    }

    /// Entries came from the disk for a member that lags. Without them it needs a snapshot.
    pub(super) fn handle_entries(&mut self, to: Member, mut entries: Vec<LogEntry>) {
        let Some(progress) = self.progress_mut(to) else { return };
        let Flow::Fetch { is_probe } = progress.flow else { return };
        let (next, read_before) = (progress.next, progress.read_before.take());
        progress.end_fetch(is_probe);
        if let Some(stale) = entries.iter().position(|entry| self.is_cut(entry)) {
            entries.truncate(stale);
            if entries.is_empty() {
                // It is read again.
                return;
            }
        }
        let mut before = self.point_before(next).or(read_before);
        if before.is_none() && entries.first().is_some_and(|e| e.index().next() == next) {
            before = Some(*entries.remove(0).point());
            if entries.is_empty() {
                // It is large and came alone: those after it are asked for with it in mind.
                return self.fetch_after(to, before, next);
            }
        }
        match before.filter(|before| entries.first().is_some_and(|e| e.continues(before))) {
            Some(before) => self.send_write(to, before, entries),
            None => self.offer_snapshot(to),
        }
    }

    /// Whether the log holds another entry at the place, or ends before it: what was read late may have
    /// been asked for before it was cut.
    fn is_cut(&self, read: &LogEntry) -> bool {
        let held = self.log.point(read.index());
        read.index() > self.log.last_index() || held.is_some_and(|held| held != read.point())
    }

    fn fetch_after(&mut self, to: Member, before: Option<Point>, from: LogIndex) {
        let max_bytes = self.config.append_bytes_max;
        if let Some(progress) = self.progress_mut(to) {
            progress.begin_fetch();
            progress.read_before = before;
            self.outputs.push_back(Output::Fetch { to, from, max_bytes });
        }
    }

    fn offer_snapshot(&mut self, to: Member) {
        let (epoch, snapshot) = (self.promised, self.snapshot);
        let Some(progress) = self.progress_mut(to) else { return };
        progress.flow = Flow::Snapshot;
        // Without one yet, the offer comes with a later answer of the member.
        if let Some(point) = snapshot {
            self.send(to, Message::SnapshotOffer { epoch, point });
        }
    }

    /// A member that was offered a snapshot still wants entries: it is offered again what helps; if
    /// nothing does, the entries may be there by now.
    pub(super) fn offer_or_send(&mut self, to: Member, wants: LogIndex) {
        if self.snapshot.is_some_and(|point| point.index >= wants) {
            self.offer_snapshot(to);
        } else if let Some(progress) = self.progress_mut(to) {
            progress.send_from(wants);
        }
    }

    fn send_watermark(&mut self, to: Member) {
        let (epoch, watermark) = (self.promised, self.watermark);
        let Some(progress) = self.progress_mut(to) else { return };
        if progress.watermark_sent < watermark && progress.flow == Flow::Stream {
            progress.watermark_sent = watermark;
            self.send(to, Message::ConfirmTransaction { epoch, watermark });
        }
    }
}
