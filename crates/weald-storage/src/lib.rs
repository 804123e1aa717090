//! Storage of Weald.
