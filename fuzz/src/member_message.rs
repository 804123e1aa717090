//! What members of a log say to each other: whatever decodes is what it encodes to.

use weald_cluster::replica::Envelope;

/// Reads `data` as an envelope.
pub fn run(data: &[u8]) {
    if let Ok(envelope) = Envelope::decode(data) {
        let again = Envelope::decode(&envelope.encode()).expect("what was encoded decodes");
        assert_eq!(again, envelope);
    }
}
