//! The facade of Weald.
