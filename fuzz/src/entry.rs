//! Log entries from a disk or a peer: decoded or refused, and what decodes means the same when written again.

use weald_core::codec::{Kind, decode, encode};
use weald_core::{Change, Entry, Payload, TransactionBody};

/// Decodes `data` as an entry and as a transaction's body.
pub fn run(data: &[u8]) {
    if let Ok(entry) = decode::<Entry>(Kind::ENTRY, data) {
        let again = decode::<Entry>(Kind::ENTRY, &encode(Kind::ENTRY, &entry))
            .expect("our own bytes decode");
        assert_eq!(again, entry);
        if let Payload::Transaction(request) = &entry.payload {
            assert_eq!(request.digest(), request.clone().digest());
            apply(&request.body);
        }
    }
    if let Ok(body) = decode::<TransactionBody>(Kind::BODY, data) {
        let again = decode::<TransactionBody>(Kind::BODY, &encode(Kind::BODY, &body))
            .expect("our own bytes decode");
        assert_eq!(again, body);
        apply(&body);
    }
}

/// Transforms of a stranger are applied or refused, never followed blindly.
fn apply(body: &TransactionBody) {
    for transform in &body.transforms {
        let applied = transform.apply(None);
        if let Ok(Some(block)) = applied {
            assert!(
                matches!(transform.change, Change::Insert(_)),
                "only an insert makes a block from nothing"
            );
            assert_eq!(block.id, transform.id);
        }
    }
}
