//! What a peer sends on a substream: messages or a refusal, the same however the bytes are cut, and with no more
//! memory than the bytes that came.

use weald_core::wire::{Decoder, Message, WireError};

/// Bytes of the largest body here.
const BODY_BYTES_MAX: usize = 4096;

/// Decodes `data` whole, and again in pieces whose length is its first byte.
pub fn run(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else { return };
    let whole = decode(data, data.len().max(1));
    let pieces = decode(data, usize::from(piece).max(1));
    assert_eq!(whole, pieces, "cuts change nothing");
    for message in whole.0 {
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        let mut input = &encoded[..];
        let again = Decoder::new(BODY_BYTES_MAX).next(&mut input);
        assert_eq!(again, Ok(Some(message)), "our own bytes decode");
        assert!(input.is_empty());
    }
}

fn decode(data: &[u8], piece: usize) -> (Vec<Message>, Option<WireError>) {
    let (mut decoder, mut messages) = (Decoder::new(BODY_BYTES_MAX), Vec::new());
    for mut input in data.chunks(piece) {
        loop {
            match decoder.next(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(decoder.partial_bytes() <= data.len(), "only what came is kept");
    }
    (messages, None)
}
