//! One suite for every engine: what the rest of storage relies on, whatever library is below.
//!
//! A behaviour is a function over an [`EngineKind`](weald_storage::engine::EngineKind); the macro
//! makes a test of each for each engine, so that a failure names both.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod behaviours;
mod durability;
mod model;
mod subject;

/// Makes one test for each behaviour.
macro_rules! behaviours_of {
    ($engine:ident: $($suite:ident :: $behaviour:ident),+ $(,)?) => {
        $(
            #[test]
            fn $behaviour() {
                crate::$suite::$behaviour(weald_storage::engine::EngineKind::$engine);
            }
        )+
    };
}

/// What every engine does.
macro_rules! every_engine {
    ($module:ident: $engine:ident) => {
        mod $module {
            behaviours_of!($engine:
                behaviours::a_new_engine_is_empty,
                behaviours::a_batch_writes_all_keyspaces_at_once,
                behaviours::writes_in_a_batch_take_effect_in_order,
                behaviours::a_refused_batch_changes_nothing,
                behaviours::scans_go_both_ways_within_bounds,
                behaviours::a_seek_finds_the_newest_version_of_a_block,
                behaviours::a_snapshot_ignores_later_writes,
                behaviours::a_snapshot_outlives_the_handle_it_came_from,
                behaviours::a_deleted_range_is_gone_and_its_neighbours_stay,
                behaviours::empty_and_large_values_come_back,
                behaviours::readers_beside_a_writer_see_whole_batches,
                behaviours::size_and_verification_answer,
                model::any_operations_agree_with_a_sorted_map,
            );
        }
    };
}

/// What engines with files do as well.
macro_rules! every_durable_engine {
    ($module:ident: $engine:ident) => {
        mod $module {
            behaviours_of!($engine:
                durability::a_closed_engine_reopens_with_everything,
                durability::a_synced_batch_is_in_a_copy_taken_while_open,
                durability::a_synced_write_needs_no_sync_of_its_own,
                durability::pages_lost_since_the_last_sync_leave_a_prefix,
                durability::a_flipped_bit_is_an_error_or_changes_nothing,
                durability::d57_a_second_handle_is_refused_as_locked,
                durability::d58_a_full_disk_refuses_writes_and_reads_go_on,
                durability::d58_deletes_pass_on_a_full_disk,
                model::any_operations_with_reopening_agree_with_a_sorted_map,
            );
        }
    };
}

every_engine!(memory: Memory);
every_engine!(redb: Redb);
every_durable_engine!(durable_redb: Redb);
#[cfg(feature = "rocksdb")]
every_engine!(rocksdb: RocksDb);
#[cfg(feature = "rocksdb")]
every_durable_engine!(durable_rocksdb: RocksDb);
