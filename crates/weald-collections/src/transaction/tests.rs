//! Drafts, conflicts, reruns.

mod drafts;
mod reruns;
