//! What the log of a node tells of applied transactions (target `weald::transaction`): ids, places,
//! revisions and outcomes, never what users wrote.

use std::fmt;

use weald_cluster::partition::Applied;
use weald_core::{
    Commit, LogIndex, Outcome, PartitionId, Payload, PendAnswer, Rejection, TransactionId,
};

/// Tells what the entry at `index` did to a transaction.
pub(crate) fn tell(partition: PartitionId, index: LogIndex, payload: &Payload, applied: &Applied) {
    if !tracing::enabled!(target: "weald::transaction", tracing::Level::DEBUG) {
        return;
    }
    match (payload, &applied.pended, &applied.settled) {
        (Payload::Pend(pend), Some((id, answer)), _) => {
            let (is_primary, locked) = (pend.is_primary, applied.locked.len());
            tell_pended((partition, index), id, answer, (is_primary, locked));
        }
        (Payload::Commit(_) | Payload::Abort(_), _, Some((id, outcome))) => {
            let outcome = Told(outcome);
            tracing::debug!(
                target: "weald::transaction", %partition, %index, %id, %outcome,
                "a transaction over several partitions is decided"
            );
        }
        (Payload::Resolve { .. }, _, Some((id, outcome))) => {
            tell_resolved(partition, index, id, outcome);
        }
        (Payload::ResolvePart { part, is_committed }, ..) => {
            tracing::debug!(
                target: "weald::transaction", %partition, %index, id = %part.id, is_committed,
                "a part is resolved"
            );
        }
        (Payload::PartResolved { part, .. }, ..) => {
            tracing::debug!(
                target: "weald::transaction", %partition, %index, id = %part.id,
                participant = %part.pend.partition, "a participant has resolved its part"
            );
        }
        (Payload::Transaction(_), _, Some((id, outcome))) => {
            tell_single(partition, index, id, outcome);
        }
        _ => {}
    }
}

fn tell_pended(
    (partition, index): (PartitionId, LogIndex),
    id: &TransactionId,
    answer: &PendAnswer,
    (is_primary, locked): (bool, usize),
) {
    match answer {
        PendAnswer::Pended(_) => tracing::debug!(
            target: "weald::transaction", %partition, %index, %id, is_primary, locked,
            "a part is prepared"
        ),
        PendAnswer::Refused(why) => tracing::debug!(
            target: "weald::transaction", %partition, %index, %id, is_primary, why = why.name(),
            "a part is refused"
        ),
        PendAnswer::Resolved => tracing::debug!(
            target: "weald::transaction", %partition, %index, %id, is_primary,
            "a part came after its transaction was resolved here"
        ),
    }
}

fn tell_resolved(partition: PartitionId, index: LogIndex, id: &TransactionId, outcome: &Outcome) {
    if matches!(outcome, Outcome::Rejected(Rejection::Fenced)) {
        tracing::debug!(
            target: "weald::transaction", %partition, %index, %id,
            "a transaction is fenced: it never commits"
        );
        return;
    }
    let outcome = Told(outcome);
    tracing::debug!(
        target: "weald::transaction", %partition, %index, %id, %outcome,
        "a transaction was settled before somebody asked"
    );
}

/// Commits within one partition are what a node does all day: they are told at the lowest level.
fn tell_single(partition: PartitionId, index: LogIndex, id: &TransactionId, outcome: &Outcome) {
    let told = Told(outcome);
    match outcome {
        Outcome::Committed(_) => tracing::trace!(
            target: "weald::transaction", %partition, %index, %id, outcome = %told,
            "a transaction is applied"
        ),
        _ => tracing::debug!(
            target: "weald::transaction", %partition, %index, %id, outcome = %told,
            "a transaction is refused"
        ),
    }
}

/// An outcome without answers and without details.
pub(crate) struct Told<'o>(pub(crate) &'o Outcome);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Committed(Commit { revisions, .. }) => {
                f.write_str("committed")?;
                revisions.iter().try_for_each(|(name, revision)| write!(f, " {name}@{revision}"))
            }
            Outcome::Rejected(why) => write!(f, "rejected {}", why.name()),
            Outcome::Unknown(cause) => write!(f, "unknown: {cause}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weald_core::{Position, Revision, Time};

    use super::*;

    #[test]
    fn an_outcome_is_told_without_what_users_wrote() {
        let told = |outcome: Outcome| Told(&outcome).to_string();
        let commit = Commit {
            position: Position::default(),
            time: Time::ZERO,
            revisions: vec![("stock".parse().unwrap(), Revision(7))],
            answers: vec![Bytes::from_static(b"secret")],
        };
        assert_eq!(told(Outcome::Committed(commit)), "committed stock@7");
        let custom = Rejection::Custom { code: 7, detail: "secret".to_owned() };
        assert_eq!(told(Outcome::Rejected(custom)), "rejected Custom");
        assert_eq!(told(Outcome::Rejected(Rejection::Fenced)), "rejected Fenced");
    }
}
