//! Helpers of the tests that use several crates.
