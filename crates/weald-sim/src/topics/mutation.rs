//! Rules of whoever drives a topic's machines that can be left out, to show that the invariants
//! notice.

/// A rule that is left out, named by what is done instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TopicMutation {
    /// A publisher signs a message anew, as its next, when it sends it again.
    SignAgain,
    /// An application's cursor is kept before the application has taken what is before it.
    KeepCursorEarly,
    /// A member does not say which positions are gone.
    HideGaps,
    /// Another head's messages are compared by their positions, not by what they are.
    MergeByPosition,
    /// A member sends as much as there is, whatever the subscriber allows.
    IgnoreCredit,
    /// A coordinator logs messages without a look at their signatures.
    LogUnverified,
}

impl TopicMutation {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::SignAgain,
        Self::KeepCursorEarly,
        Self::HideGaps,
        Self::MergeByPosition,
        Self::IgnoreCredit,
        Self::LogUnverified,
    ];
}
