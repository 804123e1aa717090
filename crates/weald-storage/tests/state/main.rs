//! The state of a partition: commits, views, checkpoints, history, damage and full disks.

mod crash;
mod schedules;
mod world;
