//! Client sessions: below its low-water mark a client has settled every request (rule C10).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weald_core::{Effects, SessionStamp, Time, TransactionId};

use super::rows;

/// A client session's 16 bytes.
type SessionId = [u8; 16];

/// What is kept of a session beyond its results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct SessionRow {
    /// Every number below is settled.
    pub(super) low_water: u64,
    /// The last expiry used in the session: until then a copy may still arrive.
    pub(super) keep_until: Time,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Session {
    row: SessionRow,
    /// Requests whose results are kept, by number.
    numbers: BTreeMap<u64, TransactionId>,
}

/// The table of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    by_expiry: BTreeSet<(Time, SessionId)>,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_full(&self, session: &SessionId, max: usize) -> bool {
        self.by_id.len() >= max && !self.by_id.contains_key(session)
    }

    /// Whether the request is below its session's mark, so that a copy of it is never executed.
    pub(super) fn is_settled(&self, stamp: &SessionStamp, time: Time) -> bool {
        let session = self.by_id.get(&stamp.session).filter(|s| s.row.keep_until >= time);
        session.is_some_and(|session| stamp.number < session.row.low_water)
    }

    pub(super) fn first_expiry(&self) -> Option<Time> {
        self.by_expiry.first().map(|(time, _)| *time)
    }

    /// Moves a session's mark; returns the transactions whose results nobody asks for any more.
    pub(super) fn advance(
        &mut self,
        stamp: SessionStamp,
        expiry: Time,
        effects: &mut Effects,
    ) -> Vec<TransactionId> {
        let session = self.by_id.entry(stamp.session).or_default();
        let before = session.row;
        session.row.low_water = before.low_water.max(stamp.low_water);
        session.row.keep_until = before.keep_until.max(expiry);
        let row = session.row;
        let mut settled = Vec::new();
        while let Some(number) = session.numbers.first_entry()
            && *number.key() < row.low_water
        {
            settled.push(number.remove());
        }
        if row != before {
            effects.rows.insert(rows::session_key(&stamp.session), Some(rows::session_value(&row)));
        }
        if row.keep_until != before.keep_until {
            self.by_expiry.remove(&(before.keep_until, stamp.session));
            self.by_expiry.insert((row.keep_until, stamp.session));
        }
        settled
    }

    /// Notes that the result of a request is kept.
    pub(super) fn note(&mut self, stamp: SessionStamp, id: TransactionId) {
        self.by_id.entry(stamp.session).or_default().numbers.insert(stamp.number, id);
    }

    /// Notes that it is kept no more.
    pub(super) fn unnote(&mut self, stamp: &SessionStamp) {
        if let Some(session) = self.by_id.get_mut(&stamp.session) {
            session.numbers.remove(&stamp.number);
        }
    }

    /// Drops up to `max` sessions whose time is over.
    pub(super) fn sweep(&mut self, time: Time, max: usize, effects: &mut Effects) {
        for _ in 0..max {
            let Some(&(keep_until, session)) = self.by_expiry.first() else { return };
            let has_results = self.by_id.get(&session).is_some_and(|s| !s.numbers.is_empty());
            if keep_until >= time || has_results {
                return;
            }
            self.by_expiry.pop_first();
            self.by_id.remove(&session);
            effects.rows.insert(rows::session_key(&session), None);
        }
    }

    pub(super) fn restore(&mut self, session: SessionId, row: SessionRow) {
        self.by_id.entry(session).or_default().row = row;
        self.by_expiry.insert((row.keep_until, session));
    }
}
