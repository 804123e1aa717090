//! Driving transactions between partitions.
