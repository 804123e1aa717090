//! Diaries: append-only logs of entries.

mod handle;
mod raw;
mod select;
mod tail;

pub(crate) use handle::decode as decode_entry;
pub use handle::{Diary, DiaryEntry};
pub use raw::{RawDiary, RawDiaryEntry};
pub use select::{DiaryOptions, DiarySelector, RawDiarySelector};
pub use tail::{DiaryTail, RawDiaryTail, TailEvent};
