//! Core types of Weald.
