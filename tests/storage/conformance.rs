//! The list of cases. Each is a test of its own for each database.

pub mod access_keys;
pub mod assertions;
pub mod audit;
pub mod changes;
pub mod concurrency;
pub mod credentials;
pub mod deletion;
pub mod latencies;
pub mod lifecycle;
pub mod paging;
pub mod reads;
pub mod refusals;
pub mod replicas;
pub mod revoked_tokens;
pub mod rewrap;
pub mod round_trips;
pub mod sealed;

/// Makes a test of every case for one database.
macro_rules! conformance {
    ($database:ident, $fresh:path) => {
        mod $database {
            each_case! { $fresh;
                round_trips {
                    tenants_are_read_back
                    subscriptions_are_read_back_and_compared_without_case
                    a_workspace_is_read_back_and_replaced
                    a_webservice_is_read_back_with_every_field_and_with_none
                    a_webservice_keeps_its_first_spelling_and_creation
                    a_principal_is_read_back_with_its_secrets_and_assignments
                    roles_are_read_back_and_replaced
                    an_assignment_is_read_back_and_put_twice
                    a_signing_key_is_read_back_and_destroyed
                    a_key_that_was_revoked_before_it_was_stored_stays_revoked
                    a_key_is_amended_by_whoever_knows_its_life
                    a_snapshot_holds_everything
                    absence_is_none
                    times_survive_to_the_microsecond
                    texts_survive_as_they_are
                    many_of_a_kind_are_read_back
                    of_two_puts_of_one_thing_the_later_stays
                }
                refusals {
                    a_missing_parent_is_a_conflict
                    what_is_in_use_can_not_be_deleted
                    a_failing_last_mutation_leaves_no_trace
                    of_many_the_refused_one_is_named_and_none_is_written
                    a_third_secret_is_refused
                    two_principals_can_not_share_a_client_id
                    a_principal_keeps_its_ids_and_its_tenant
                    a_subscription_keeps_its_tenant
                    an_assignment_id_is_not_given_to_another
                    the_same_assignment_under_another_id_is_refused
                    aci_with_token_is_refused_by_the_schema
                    role_names_are_unique_without_case
                    a_workspace_with_webservices_can_not_be_deleted
                    a_kid_and_a_generation_are_unique
                    a_key_life_out_of_order_is_refused
                    of_two_first_regions_one_founds_the_deployment
                }
                deletion {
                    every_kind_can_be_deleted
                    deleting_what_is_not_there_is_well
                    a_secret_is_removed_only_from_its_own_principal
                    a_deleted_principal_takes_its_secrets_and_assignments_along
                    a_deleted_workspace_takes_assignments_at_and_below_it_and_no_siblings
                    a_deleted_webservice_takes_its_assignments_and_no_siblings
                    a_deleted_subscription_takes_its_assignments_and_no_siblings
                }
                changes {
                    every_mutation_logs_what_it_makes_stale
                    changes_are_read_in_order_and_from_anywhere
                    a_commit_returns_its_own_changes_only
                    an_empty_commit_changes_nothing
                }
                paging {
                    workspaces_come_in_pages_and_only_from_their_scope
                    webservices_come_in_pages_and_only_from_their_workspace
                    principals_come_in_pages_and_only_from_their_tenant
                }
                reads {
                    assignments_are_found_above_at_and_below_a_scope
                    webservice_facts_follow_the_workspace
                    regions_are_those_of_workspaces_and_clusters
                    a_fact_is_remembered_the_first_time
                    a_server_tells_its_own_time
                }
                access_keys {
                    the_first_keys_are_kept
                    a_generation_takes_the_place_of_the_one_before_only
                    keys_go_with_their_webservice
                }
                sealed {
                    a_signing_key_is_rewrapped_once_and_replicas_hear_of_it
                    an_access_key_that_was_regenerated_meanwhile_is_not_rewrapped
                    uses_of_keks_are_counted_and_destroyed_keys_are_none
                    access_keys_under_a_kek_come_in_pages
                }
                replicas {
                    a_replica_lives_until_it_takes_its_leave
                    in_a_file_the_processes_clock_counts
                }
                assertions {
                    an_assertion_is_taken_once_until_it_is_forgotten
                    of_many_at_once_one_is_first
                }
                revoked_tokens {
                    a_revoked_token_is_listed_and_told_until_it_expires
                }
                credentials {
                    a_principal_is_updated_in_parts
                    certificates_are_read_back_with_every_field_and_with_none
                    federated_credentials_are_read_back_and_replaced
                    a_second_certificate_of_one_thumbprint_is_refused
                    a_federated_credential_of_a_name_or_match_in_use_is_refused
                    a_federated_credential_stays_with_its_principal
                    a_credential_is_removed_only_from_its_own_principal
                    a_deleted_principal_takes_its_credentials_along
                    every_change_of_a_credential_names_its_principal
                    times_of_certificates_survive
                    the_twenty_first_of_a_kind_is_refused
                }
                latencies {
                    a_row_is_read_back_and_put_twice
                    rows_of_processes_at_once_are_all_kept
                    old_rows_are_removed_and_no_others
                }
                audit {
                    a_record_is_found_by_its_id
                    a_record_is_read_back_with_every_field_and_with_none
                    an_append_is_idempotent_by_id
                    a_commit_writes_its_records
                    filters_by_time_are_half_open
                    filters_by_principal_take_object_and_client_ids
                    filters_by_webservice_take_either_view_and_parts
                    filters_by_outcome_and_event_narrow_together
                    the_newest_come_first_up_to_the_limit
                    a_thousand_records_are_one_batch
                    records_of_one_instant_are_all_kept
                    the_whole_audit_is_read_in_pages_in_either_direction
                    old_records_are_removed_and_their_ends_known
                    an_empty_batch_is_well
                }
                concurrency {
                    commits_at_once_lose_nothing
                    of_two_creators_of_a_generation_one_wins
                    of_two_that_remember_one_is_remembered
                    appends_and_commits_share_the_database
                }
            }
            each_life! { $fresh; rewrap
                a_kek_is_changed_without_a_trace_outside
                nothing_is_rewrapped_while_a_replica_lacks_the_new_kek
                rows_that_can_not_be_opened_are_named_and_left
            }
            each_life! { $fresh; lifecycle
                everything_is_found_after_reopening
                rows_of_an_older_version_are_read_as_it_means_them
                opening_twice_migrates_once
                commits_of_two_processes_lose_nothing
                one_generation_has_one_winner_among_processes
                a_follower_misses_no_change_of_other_processes
                a_limit_holds_among_processes
                an_expectation_has_one_winner_among_processes
                processes_open_a_new_database_at_once
                a_newer_database_is_refused
                an_altered_migration_is_refused
            }
        }
    };
}

macro_rules! each_case {
    ($fresh:path; $($module:ident { $($case:ident)* })*) => {
        $(mod $module {
            $(#[tokio::test]
            async fn $case() {
                use crate::database::Database as _;
                let database = $fresh().await;
                crate::conformance::$module::$case(database.open().await.expect("a fresh database opens")).await;
            })*
        })*
    };
}

macro_rules! each_life {
    ($fresh:path; $module:ident $($case:ident)*) => {
        mod $module {
            $(#[tokio::test]
            async fn $case() {
                crate::conformance::$module::$case(&$fresh().await).await;
            })*
        }
    };
}
