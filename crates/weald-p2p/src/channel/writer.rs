//! Messages on their way out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::AsyncWrite;

use crate::limits::WRITES_PER_TURN_MAX;
use weald_core::wire::Message;

/// Writes batches of messages. All that waits goes into one buffer; the stream is flushed when
/// nothing waits, not before.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    buffer: Vec<u8>,
    written: usize,
    needs_flush: bool,
    batch: Vec<Message>,
    bytes_count: u64,
}

impl Writer {
    /// Writes until `refill` adds nothing to the batch that it is given; `Ready` when all is
    /// flushed.
    ///
    /// # Errors
    /// Those of the stream, which is of no use then.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
        mut refill: impl FnMut(&mut Vec<Message>),
    ) -> Poll<io::Result<()>> {
        for _ in 0..WRITES_PER_TURN_MAX {
            ready!(self.drain(cx, stream))?;
            refill(&mut self.batch);
            if self.batch.is_empty() {
                return self.flush(cx, stream);
            }
            self.encode_batch();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Bytes written since last asked.
    pub(crate) const fn take_bytes_count(&mut self) -> u64 {
        std::mem::replace(&mut self.bytes_count, 0)
    }

    fn encode_batch(&mut self) {
        for message in self.batch.drain(..) {
            message.encode(&mut self.buffer);
        }
    }

    fn drain(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.written < self.buffer.len() {
            let count =
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.buffer[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.bytes_count += count as u64;
            self.needs_flush = true;
        }
        self.written = 0;
        self.buffer.clear();
        Poll::Ready(Ok(()))
    }

    /// An idle writer holds no memory: a node may have a thousand of them.
    fn flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        if self.needs_flush {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.needs_flush = false;
            self.buffer = Vec::new();
            self.batch = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::task::noop_waker;

    use super::*;

    /// A stream that takes at most so many bytes each second time, and counts flushes.
    #[derive(Default)]
    struct Slow {
        taken: Vec<u8>,
        flush_count: usize,
        is_blocked: bool,
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.is_blocked = !self.is_blocked;
            if self.is_blocked {
                return Poll::Pending;
            }
            let count = bytes.len().min(7);
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flush_count += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn all_that_waits_is_written_and_flushed_once() {
        let messages: Vec<_> =
            (0..20u8).map(|byte| Message::Frame(Bytes::from(vec![byte; 10]))).collect();
        let mut expect = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut expect));
        let mut batches: Vec<_> = messages.chunks(5).rev().map(<[Message]>::to_vec).collect();
        let (mut writer, mut stream) = (Writer::default(), Slow::default());
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut poll = |writer: &mut Writer, stream: &mut Slow| {
            writer.poll(&mut cx, stream, |batch| batch.extend(batches.pop().unwrap_or_default()))
        };
        while poll(&mut writer, &mut stream).is_pending() {}
        assert_eq!(stream.taken, expect);
        assert_eq!(stream.flush_count, 1);
        assert_eq!(writer.take_bytes_count(), expect.len() as u64);
        assert!(poll(&mut writer, &mut stream).is_ready());
        assert_eq!(stream.flush_count, 1, "nothing new, nothing flushed");
        assert_eq!(writer.buffer.capacity(), 0);
    }
}
