//! Whole-system tests: one binary, a module a behaviour.
//!
//! [`process`] runs the real program, [`network`] builds throw-away networks
//! of it, [`wire`] speaks to them byte by byte. All else is what people see.

mod emulated;
mod network;
mod process;
mod provisioning;
mod raw;
mod waiting_room;
mod wire;

mod a_broker_denies_a_caller;
mod a_broker_may_go_away;
mod a_broker_says_goodbye;
mod a_broker_shows_itself;
mod a_captured_request_runs_once;
mod a_clock_is_stepped;
mod a_denied_caller_gets_no_action;
mod a_fault_ends_one_request;
mod a_filter_costs_what_it_may;
mod a_fleet_is_provisioned;
mod a_guard_is_mistyped;
mod a_helper_has_a_say;
mod a_hostile_node_does_not_hurt_the_broker;
mod a_late_node_is_named;
mod a_network_is_made_by_hand;
mod a_node_answers_for_itself_only;
mod a_node_cannot_drive_a_terminal;
mod a_node_in_trouble_says_so;
mod a_node_is_bound_to_its_name;
mod a_node_reports_itself;
mod a_policy_is_broken;
mod a_provisioner_is_elected;
mod a_provisioner_shows_itself;
mod a_refused_certificate_gets_no_answer;
mod a_reply_goes_where_it_may;
mod a_service_is_paused_from_afar;
mod a_sick_fleet_is_provisioned;
mod a_thousand_requests_at_once;
mod a_waiting_fleet_is_emulated;
mod a_waiting_machine_floods;
mod a_waiting_node_gets_its_token;
mod a_waiting_node_is_provisioned;
mod a_waiting_node_is_upgraded;
mod an_ed25519_node_is_given_a_token;
mod an_embedded_broker_judges_again;
mod an_emulated_fleet_answers;
mod brokers_are_found_in_dns;
mod configuration_is_explained;
mod faults_lose_only_what_they_break;
mod garbage_does_not_end_a_node;
mod help_is_there;
mod helpers_of_others_sign;
mod mistakes_are_explained;
mod nats_clients_see_no_difference;
mod outputs_end_early;
mod silence_is_reported;
mod the_default_makes_a_working_node;
mod the_fleet_answers;
mod the_floors_hold;
mod the_logs_say_who_called;
mod the_units_are_good;
mod what_people_type_is_checked;
mod what_was_sent_is_said;
mod what_we_depend_on;
mod who_is_no_longer_allowed_is_cut;
