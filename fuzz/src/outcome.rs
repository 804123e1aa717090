//! Outcomes kept for retries and sent to clients.

use weald_core::Outcome;
use weald_core::codec::{Kind, decode, encode};

/// Decodes `data` as an outcome.
pub fn run(data: &[u8]) {
    if let Ok(outcome) = decode::<Outcome>(Kind::OUTCOME, data) {
        let again = decode::<Outcome>(Kind::OUTCOME, &encode(Kind::OUTCOME, &outcome))
            .expect("our own bytes decode");
        assert_eq!(again, outcome);
    }
}
