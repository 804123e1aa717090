//! What the nodes of a world are called: `A`, `B`, `C` and so on.

use std::{fmt, str::FromStr};

/// A node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Name(pub(crate) u8);

/// The most nodes of a world.
pub(crate) const NODES_MAX: u8 = 9;

impl Name {
    /// The first `count` nodes.
    pub(crate) fn first(count: u8) -> Vec<Self> {
        (0..count).map(Self).collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'A' + self.0))
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            [letter] if (b'A'..b'A' + NODES_MAX).contains(letter) => Ok(Self(letter - b'A')),
            _ => anyhow::bail!("not the name of a node: `{text}`"),
        }
    }
}
