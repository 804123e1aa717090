//! Collections of Weald.
