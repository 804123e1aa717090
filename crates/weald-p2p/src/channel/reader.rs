//! Messages that come in.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures::io::AsyncRead;

use crate::limits::{BODY_BYTES_MAX, PARTIAL_BYTES_MAX, READ_BYTES, READS_PER_TURN_MAX};
use weald_core::wire::{Decoder, Message, WireError};

thread_local! {
    /// Where a thread reads to. What is no whole message yet moves to the reader, so that idle
    /// substreams hold no memory.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why a substream is not read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The peer has closed it, or it broke.
    #[error("the substream has ended: {0}")]
    Ended(io::Error),
    /// The peer sends what is no message, or not one for this substream.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// All peers together have more unfinished messages than there is room for.
    #[error("too many bytes of unfinished messages")]
    NoRoom,
}

/// Reads messages. Bytes of unfinished messages are counted over all readers of a node.
#[derive(Debug)]
pub(crate) struct Reader {
    decoder: Decoder,
    partial_bytes: Arc<AtomicUsize>,
    counted_bytes: usize,
    bytes_count: u64,
}

impl Reader {
    /// A reader that counts its unfinished bytes in `partial_bytes`.
    pub(crate) const fn new(partial_bytes: Arc<AtomicUsize>) -> Self {
        let decoder = Decoder::new(BODY_BYTES_MAX);
        Self { decoder, partial_bytes, counted_bytes: 0, bytes_count: 0 }
    }

    /// Reads what has come, for at most one turn, and hands on the messages. `Pending` when no more
    /// has come or the turn is over.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        mut hand_on: impl FnMut(Message) -> Result<(), WireError>,
    ) -> Poll<ReadError> {
        let mut scratch = SCRATCH.take();
        scratch.resize(READ_BYTES, 0);
        for _ in 0..READS_PER_TURN_MAX {
            let read = self.read_once(cx, stream, &mut scratch, &mut hand_on);
            if !matches!(read, Poll::Ready(Ok(()))) {
                SCRATCH.set(scratch);
                return read.map(|read| read.expect_err("checked to be an error"));
            }
        }
        SCRATCH.set(scratch);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Bytes read since last asked.
    pub(crate) const fn take_bytes_count(&mut self) -> u64 {
        std::mem::replace(&mut self.bytes_count, 0)
    }

    fn read_once(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        scratch: &mut [u8],
        hand_on: &mut impl FnMut(Message) -> Result<(), WireError>,
    ) -> Poll<Result<(), ReadError>> {
        let count = match ready!(Pin::new(stream).poll_read(cx, scratch)) {
            Ok(0) => {
                return Poll::Ready(Err(ReadError::Ended(io::ErrorKind::UnexpectedEof.into())));
            }
            Ok(count) => count,
            Err(error) => return Poll::Ready(Err(ReadError::Ended(error))),
        };
        self.bytes_count += count as u64;
        let mut input = &scratch[..count];
        while let Some(message) = self.decoder.next(&mut input)? {
            hand_on(message)?;
        }
        Poll::Ready(self.count_partial())
    }

    fn count_partial(&mut self) -> Result<(), ReadError> {
        let bytes = self.decoder.partial_bytes();
        if bytes == self.counted_bytes {
            return Ok(());
        }
        self.partial_bytes.fetch_add(bytes, Ordering::Relaxed);
        let total = self.partial_bytes.fetch_sub(self.counted_bytes, Ordering::Relaxed);
        let total = total - self.counted_bytes;
        self.counted_bytes = bytes;
        if bytes > READ_BYTES && total > PARTIAL_BYTES_MAX {
            Err(ReadError::NoRoom)
        } else {
            Ok(())
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.partial_bytes.fetch_sub(self.counted_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::io::Cursor;
    use futures::task::noop_waker;

    use super::*;

    fn poll(reader: &mut Reader, input: &[u8]) -> (Vec<Message>, Poll<ReadError>) {
        let waker = noop_waker();
        let (mut messages, mut stream) = (Vec::new(), Cursor::new(input));
        let end = reader.poll(&mut Context::from_waker(&waker), &mut stream, |message| {
            messages.push(message);
            Ok(())
        });
        (messages, end)
    }

    #[test]
    fn messages_are_handed_on_and_the_end_is_told() {
        let frame = Message::Frame(Bytes::from_static(b"frame"));
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        frame.encode(&mut bytes);
        let mut reader = Reader::new(Arc::default());
        let (messages, end) = poll(&mut reader, &bytes);
        assert_eq!(messages, [frame.clone(), frame]);
        assert!(matches!(end, Poll::Ready(ReadError::Ended(_))));
        assert_eq!(reader.take_bytes_count(), bytes.len() as u64);
    }

    #[test]
    fn unfinished_messages_of_all_readers_are_counted_and_bounded() {
        let mut large = Vec::new();
        Message::Frame(Bytes::from(vec![0; BODY_BYTES_MAX])).encode(&mut large);
        let unfinished = &large[..READ_BYTES * 2];
        let total = Arc::new(AtomicUsize::new(PARTIAL_BYTES_MAX - READ_BYTES * 3));
        let mut first = Reader::new(Arc::clone(&total));
        assert!(matches!(poll(&mut first, unfinished).1, Poll::Ready(ReadError::Ended(_))));
        let mut second = Reader::new(Arc::clone(&total));
        assert!(matches!(poll(&mut second, unfinished).1, Poll::Ready(ReadError::NoRoom)));
        drop((first, second));
        assert_eq!(total.load(Ordering::Relaxed), PARTIAL_BYTES_MAX - READ_BYTES * 3);
    }
}
