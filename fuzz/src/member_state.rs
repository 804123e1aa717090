//! What a member keeps beside its entries: whatever decodes is what it encodes to.

use weald_cluster::replica::Stored;

/// Reads `data` as a member's state.
pub fn run(data: &[u8]) {
    if let Ok(stored) = Stored::decode(data) {
        let again = Stored::decode(&stored.encode()).expect("what was encoded decodes");
        assert_eq!(again, stored);
    }
}
