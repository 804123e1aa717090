//! Whether others can dial this node, as they say.

/// What peers say when they are asked to dial this node; see
/// [`Reachability::probe`](crate::Reachability::probe).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reachable {
    /// Nobody was asked, or nobody has told.
    #[default]
    Unknown,
    /// They get through at this address, text of a multiaddress that ends with the peer.
    At(String),
    /// They get through at none of this node's addresses: it needs a port that its router forwards,
    /// named in [`Config::external`](crate::Config::external), or a place at a relay.
    Nowhere,
}
