//! The two halves of a substream: messages out of bytes that come, bytes out of messages that go.

mod reader;
mod room;
mod writer;

pub(crate) use reader::{ReadError, Reader};
pub(crate) use room::Room;
pub(crate) use writer::Writer;
