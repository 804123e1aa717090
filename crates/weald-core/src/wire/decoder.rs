//! Messages out of a stream of bytes.

use bytes::{Buf, Bytes};

use super::message::{LENGTH_BYTES, Message, OVERHEAD_BYTES_MAX, WireError};

/// Cuts a stream into messages. Holds the beginning of a message whose end has not come, and
/// nothing else.
#[derive(Debug)]
pub struct Decoder {
    /// The length and what has come of the message behind it.
    partial: Vec<u8>,
    bytes_max: usize,
}

impl Decoder {
    /// Refuses messages with bodies longer than `body_bytes_max`.
    pub const fn new(body_bytes_max: usize) -> Self {
        Self { partial: Vec::new(), bytes_max: body_bytes_max + OVERHEAD_BYTES_MAX }
    }

    /// Bytes that are held of a message whose end has not come.
    pub const fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    /// The next message, with bytes taken from the front of `input`; `None` when `input` is used
    /// up first.
    ///
    /// # Errors
    /// See [`WireError`]. The stream has lost its rhythm then and cannot be read on.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WireError> {
        if self.partial.is_empty() {
            return self.next_in_place(input);
        }
        self.fill(input, LENGTH_BYTES);
        let Some(length) = self.length_of(&self.partial)? else { return Ok(None) };
        self.fill(input, LENGTH_BYTES + length);
        if self.partial.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        let mut whole = Bytes::from(std::mem::take(&mut self.partial));
        whole.advance(LENGTH_BYTES);
        Message::decode(whole).map(Some)
    }

    /// A message that is whole in `input` is copied once, without the buffer.
    fn next_in_place(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WireError> {
        let length = self.length_of(input)?;
        let message = length.and_then(|length| input.get(LENGTH_BYTES..LENGTH_BYTES + length));
        let Some(message) = message else {
            self.partial.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        };
        let message = Bytes::copy_from_slice(message);
        *input = &input[LENGTH_BYTES + message.len()..];
        Message::decode(message).map(Some)
    }

    /// The length at the front of `bytes`, once all of it is there.
    fn length_of(&self, bytes: &[u8]) -> Result<Option<usize>, WireError> {
        let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.bytes_max {
            return Err(WireError::TooLong { bytes: length, bytes_max: self.bytes_max });
        }
        Ok(Some(length))
    }

    /// Moves bytes from `input` until `target` are held. The buffer grows with what comes.
    fn fill(&mut self, input: &mut &[u8], target: usize) {
        let missing = target.saturating_sub(self.partial.len()).min(input.len());
        let (moved, rest) = input.split_at(missing);
        self.partial.extend_from_slice(moved);
        *input = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut buffer = Vec::new();
        for body in bodies {
            Message::Frame(Bytes::copy_from_slice(body)).encode(&mut buffer);
        }
        buffer
    }

    fn frames(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<Vec<u8>>, WireError> {
        let mut frames = Vec::new();
        while let Some(message) = decoder.next(&mut input)? {
            let Message::Frame(body) = message else { panic!("not a frame: {message:?}") };
            frames.push(body.to_vec());
        }
        assert!(input.is_empty(), "all of the input is used");
        Ok(frames)
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_the_bytes_are_cut(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in proptest::collection::vec(0usize..2000, 0..10),
        ) {
            let stream = encoded(&bodies);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut decoder = Decoder::new(300);
            let mut found = Vec::new();
            for pair in cuts.windows(2) {
                found.extend(frames(&mut decoder, &stream[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(found, bodies);
            prop_assert_eq!(decoder.partial_bytes(), 0);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut decoder = Decoder::new(100);
            let mut input = &bytes[..];
            while let Ok(Some(_)) = decoder.next(&mut input) {}
            prop_assert!(decoder.partial_bytes() <= bytes.len());
        }
    }

    #[test]
    fn a_length_over_the_bound_is_refused_before_anything_is_kept() {
        let announced = u32::MAX.to_le_bytes();
        let error = Decoder::new(100).next(&mut &announced[..]).unwrap_err();
        let bytes_max = 100 + OVERHEAD_BYTES_MAX;
        assert_eq!(error, WireError::TooLong { bytes: 0xffff_ffff, bytes_max });
        let mut decoder = Decoder::new(100);
        assert_eq!(decoder.next(&mut &announced[..3]), Ok(None));
        assert_eq!(decoder.next(&mut &announced[3..]), Err(error));
    }

    #[test]
    fn an_announced_length_takes_no_memory_until_bytes_come() {
        let mut decoder = Decoder::new(1 << 24);
        assert_eq!(decoder.next(&mut &(1u32 << 24).to_le_bytes()[..]), Ok(None));
        assert!(decoder.partial.capacity() < 100);
    }
}
