//! The state of a partition: commits, views, checkpoints, history, damage and full disks.

#![expect(clippy::unwrap_used, reason = "what stands around a test fails the test")]

mod cache;
mod crash;
mod damage;
mod disk;
mod history;
mod schedules;
mod transfer;
mod versions;
mod world;
