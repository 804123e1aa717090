//! Comes with founding.
