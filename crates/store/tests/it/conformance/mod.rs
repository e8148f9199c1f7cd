//! The suite that every backend must pass: one function per promise of the traits.
//!
//! A backend names itself once with [`conformance!`]; a promise that is added here is tested everywhere.

pub(crate) mod access;
pub(crate) mod discovery;
pub(crate) mod facts;
pub(crate) mod images;
pub(crate) mod intents;
pub(crate) mod jobs;
pub(crate) mod judgements;
pub(crate) mod matches;
pub(crate) mod registries;

use store::traits::SharedStore;

/// A backend with an empty store of its own.
pub(crate) trait Backend: Sized {
    /// Starts it.
    async fn start() -> Self;
    /// The store.
    async fn store(&self) -> SharedStore;
}

/// Makes one test of every promise for a backend.
macro_rules! conformance {
    ($backend:ty: $($area:ident { $($promise:ident)* })*) => {
        $(mod $area {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let backend = <$backend>::start().await;
                let world = crate::world::World::new(backend.store().await);
                crate::conformance::$area::$promise(&world).await;
            })*
        })*
    };
}
pub(crate) use conformance;

/// Every promise, for a backend.
macro_rules! every_promise {
    ($backend:ty) => {
        crate::conformance::conformance! { $backend:
            registries {
                an_added_registry_comes_back names_are_unique edits_replace_what_they_name
                credentials_can_be_kept_replaced_and_removed a_deleted_registry_takes_its_rows_and_resolves_its_issues
                status_is_kept_until_set counts_follow_the_tags a_renamed_registry_keeps_its_issues
                a_new_registry_of_an_old_name_goes_on_with_its_issues unknown_registries_are_not_found
                other_platforms_are_resolved_again
            }
            discovery {
                tags_have_a_history_of_moves deleted_tags_come_back_with_their_history
                recording_the_same_tags_changes_nothing repositories_missing_from_a_complete_list_are_gone
                unresolved_are_wanted_live_digests a_manifest_makes_images_of_each_member
                recording_the_same_manifest_changes_nothing artifacts_are_no_images
                unscanned_names_each_image_once unscanned_leaves_out_what_is_read_or_failed_in_these_versions
                failures_are_due_again_later_and_later a_held_image_keeps_its_inventory
                manifests_that_could_not_be_read_are_due_again
                images_that_are_not_wanted_are_not_scanned lists_page_stably repositories_show_counts
                two_registries_see_the_same_index_each_in_its_way
                the_servers_word_about_a_manifest_comes_first
            }
            jobs {
                live_jobs_are_unique jobs_wait_for_their_time the_highest_priority_goes_first
                registries_take_turns readers_and_kinds_are_kept_apart an_expired_lease_is_given_to_another
                a_stale_holder_can_write_nothing a_late_holder_may_write_while_nobody_took_over
                a_forged_lease_is_refused heartbeats_extend_leases retries_come_back_with_their_error
                over_jobs_stay_for_people next_due_is_the_earliest many_tasks_get_each_job_once
                jobs_of_disabled_registries_rest holders_are_told_apart jobs_of_unknown_registries_are_left_out
                tokens_only_grow a_holder_that_starts_anew_gives_back
            }
            facts {
                facts_come_back_by_detector_version earlier_readers_win facts_that_are_there_stay
                a_blob_is_claimed_once claims_end_with_the_lease nobody_writes_in_anothers_name large_facts_come_back
                facts_of_a_group_do_not_serve_others
            }
            images {
                an_inventory_comes_back_whole a_commit_is_idempotent packages_are_shared
                newer_detectors_replace_an_inventory gaps_make_way a_leased_image_is_scanning
                failures_say_why what_a_group_read_stays_in_the_group images_are_filtered_and_paged
                an_unknown_image_is_refused manifests_tell_image_index_and_other a_commit_marks_for_judgement
                large_inventories_are_replaced a_whole_reading_drops_the_facts_of_old_versions
                the_longest_known_beginning_is_the_base an_import_is_found_like_an_image
            }
            matches {
                new_packages_are_to_be_matched matches_that_differ_mark_repositories touched_names_become_stale
                a_release_is_told_apart touching_all_touches_all hashes_touch_the_images_that_show_them
                older_generations_change_nothing the_judged_generation_is_kept
            }
            judgements {
                issues_open_keep_resolve_and_reopen due_dates_follow_the_severity a_mark_set_meanwhile_stays
                boundaries_mark_when_they_pass a_persons_decision_stands edits_leave_history
                issues_are_filtered_and_paged counters_are_shown oldest_marks_are_judged_first
                evaluations_are_recorded registry_images_have_their_tags issue_counts_add_up
                a_repository_that_went_cannot_be_judged
            }
            intents {
                policies_count_revisions exceptions_come_and_go settings_are_kept
                rules_and_tuning_count_revisions edits_are_causes_until_judged
            }
            access {
                tokens_are_found_by_hash_until_over tokens_are_spent_once tokens_are_listed_with_what_became_of_them agents_are_seen
                a_removed_agent_gives_its_leases_back the_audit_log_reads_backwards
            }
        }
    };
}
pub(crate) use every_promise;
