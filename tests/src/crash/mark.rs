//! The text forms of a write and of its acknowledgement.

use std::{fmt, str::FromStr};

use anyhow::{Context, Result, bail};

/// Names one write of one caller: what it stores, before padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The start of the process that wrote it, from 1.
    pub generation: u32,
    /// The caller's count of writes of this kind in this generation, from 1.
    pub number: u64,
    /// The caller.
    pub caller: u32,
}

impl Mark {
    /// The stored bytes: the mark, then padding to about `len` bytes.
    pub fn to_value(self, len: usize) -> Vec<u8> {
        let mut text = format!("{self} ");
        let padding = len.saturating_sub(text.len());
        text.extend(std::iter::repeat_n('.', padding));
        text.into_bytes()
    }

    /// The caller's key in the trees.
    pub fn key(self) -> String {
        format!("caller-{:03}", self.caller)
    }

    /// Reads what [`Mark::to_value`] made.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn from_value(value: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(value).context("a stored value is not text")?;
        let (mark, padding) = text.split_once(' ').context("a stored value has no end")?;
        if padding.bytes().any(|byte| byte != b'.') {
            bail!("a stored value has strange padding: {padding:?}");
        }
        mark.parse()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.generation, self.caller, self.number)
    }
}

impl FromStr for Mark {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [generation, caller, number] = parts[..] else { bail!("not a mark: {text:?}") };
        Ok(Self {
            generation: generation.parse()?,
            caller: caller.parse()?,
            number: number.parse()?,
        })
    }
}

/// What a caller wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A put of the caller's key into one tree.
    Put,
    /// An append to one diary.
    Append,
    /// A transaction: an append and puts into two trees.
    Transaction,
}

impl Kind {
    /// All kinds, in the order in which a caller does them.
    pub const ALL: [Self; 3] = [Self::Put, Self::Append, Self::Transaction];

    const fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Append => "append",
            Self::Transaction => "transaction",
        }
    }
}

/// An acknowledged write, as one line of the writer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// What was written.
    pub kind: Kind,
    /// Its name.
    pub mark: Mark,
    /// What the database answered: the sequence of an append, the revision of a put, the
    /// log index of a transaction.
    pub place: u64,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ack {} {} {} end", self.kind.word(), self.mark, self.place)
    }
}

impl FromStr for Ack {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let parts: Vec<&str> = line.split(' ').collect();
        let ["ack", word, mark, place, "end"] = parts[..] else { bail!("not an ack: {line:?}") };
        let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
        let kind = kind.with_context(|| format!("not a kind: {word:?}"))?;
        Ok(Self { kind, mark: mark.parse()?, place: place.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { generation: 3, number: 14, caller: 7 };

    #[test]
    fn marks_and_acks_round_trip() {
        for len in [0, 9, 300] {
            assert_eq!(Mark::from_value(&MARK.to_value(len)).unwrap(), MARK);
        }
        assert!(Mark::from_value(b"3:7:14 ..x").is_err());
        assert!(Mark::from_value(b"3:7").is_err());
        let ack = Ack { kind: Kind::Append, mark: MARK, place: 99 };
        assert_eq!(ack.to_string().parse::<Ack>().unwrap(), ack);
        let half = &ack.to_string()[..12];
        assert!(half.parse::<Ack>().is_err(), "half a line is no acknowledgement");
    }

    #[test]
    fn a_later_generation_is_a_later_mark() {
        assert!(Mark { generation: 4, number: 1, caller: 7 } > MARK);
        assert!(Mark { number: 15, ..MARK } > MARK);
    }
}
