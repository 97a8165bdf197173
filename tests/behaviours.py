"""How GLM behaves and what is done about it, as data: id, sentence, source, and the test that shows it.

``python tests/behaviours.py`` writes the table of ``docs/glm.md`` anew. What is known and not done is ``GAPS``.
"""

# ruff: noqa: E501 - a row of the table is a line

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "glm.md"
BEGIN, END = "<!-- behaviours: written by tests/behaviours.py -->", "<!-- end of behaviours -->"


class Behaviour(NamedTuple):
    """One thing that GLM or one of its hosts does, and what we do."""

    id: str
    sentence: str
    source: str
    test: str
    """``file::function`` below ``tests/``."""


API = "OpenAPI of docs.bigmodel.cn, 2026-07-11"
CODES = "error codes of docs.bigmodel.cn, 2026-07-11"
THINKING = "thinking guide of docs.z.ai, 2026-09"
NATIVE = "recordings of api.z.ai, 2025-09 to 2026-09"

_ROWS = f"""
request.fields | Only fields that the server knows are sent; it answers 1210 to others | {API} | test_wire_encode::test_only_fields_that_the_server_knows_are_sent
request.ranges | A setting out of its range is refused before it is sent, never clamped | {API} | test_wire_settings::test_a_value_out_of_range_is_refused_by_name_value_and_range
request.max_tokens | The bound of an answer is the model's own | model pages, docs.z.ai 2026-10 | test_wire_settings::test_the_bound_of_an_answer_is_the_models_own
request.id | Every attempt has a new request_id, the last field; a used one is refused (1231) | {API} | test_wire_encode::test_the_request_id_is_last_and_the_only_difference
request.rare | watermark_enabled, sensitive_word_check and meta go to Zhipu's servers alone | {API}; zai-sdk 0.2.3 | test_wire_settings::test_marks_checks_and_roles_go_to_zhipus_servers_alone
request.unknown_model | A GLM that is not in the catalog works with safe defaults | models change monthly | test_models_catalog::test_a_glm_that_is_not_in_the_table_works_with_safe_defaults
request.user | A conversation that no user began begins with a user message (1214) | MetaGLM sdk#14 | test_wire_encode::test_a_conversation_that_no_user_began_begins_with_one
request.empty_user | An empty user message gets words (1210, 1214) | codegraff#812 | test_wire_encode::test_an_empty_user_message_gets_words
request.empty_answer | An answer without words and calls is not sent empty (1213) | one-api#1153, pi#3365 | test_wire_encode::test_an_answer_without_words_or_calls_is_not_empty
request.arguments | Broken arguments in the history do not break every later request | crush#1237 | test_wire_encode::test_broken_arguments_in_the_history_do_not_break_every_later_request
request.prefix | What was sent once is sent the same way ever after, so the prompt cache holds | {NATIVE} | test_wire_encode::test_the_prefix_of_a_growing_conversation_never_changes
request.tool_choice | Only "auto" is known: none takes the tools away, required and a name are asked for, twice | hindsight#4246, 2026-09 | test_models_endings::test_a_call_that_is_owed_is_asked_for_again_with_nothing_else_on_offer
parts.limits | Pictures (5 MB, png and jpeg, number by model), files (50), sounds are checked before they are sent | {API} | test_wire_attachments::test_what_is_over_a_limit_is_refused
parts.links | Videos and files are addresses, never data | {API} | test_wire_attachments::test_what_is_over_a_limit_is_refused
parts.bytes | Bytes are encoded for the user, their kind told by how they begin | {API} | test_wire_attachments::test_bytes_are_told_by_how_they_begin
parts.tool | A tool's picture follows in a user message: a tool message takes text only | command-code#795 | test_wire_encode::test_what_tools_return_beside_text_follows_in_a_user_message_after_the_last_result
parts.text_model | A text model is told what it cannot see | CodexPlusPlus#1760 | test_wire_encode::test_a_text_model_is_told_what_it_cannot_see
parts.alone | Files and pictures do not share a message (1215) | {API} | test_wire_encode::test_files_and_pictures_do_not_share_a_message
tools.schema | References are inlined: 5.2 and 5.3 write nested objects as strings where they see $ref | pydantic-ai#10243, vllm#50933 | test_schema::test_references_are_inlined_and_titles_stripped_but_not_a_property_named_title
tools.recursive | A recursive schema is followed twice, then cut to its type | SkyrimNet#381 | test_schema::test_a_recursive_schema_is_followed_twice_and_then_cut_to_its_type
tools.invalid | An invalid sub-schema is repaired: one would refuse the whole request (1210) | SkyrimNet#381 | test_schema::test_a_sub_schema_is_repaired
tools.number | More than 128 functions are refused before they are sent | {API} | test_wire_encode::test_more_tools_than_the_server_takes_are_refused
hosted.options | Every option of web_search, retrieval and mcp is a typed setting | {API} | test_wire_hosted::test_every_option_of_the_search_is_sent_in_the_providers_words
hosted.results | What the provider ran comes back as typed items and is never dispatched here | {API} | test_truthful::test_what_the_provider_ran_itself_is_shown_and_never_run_here
hosted.secrets | Secrets of a hosted MCP server are read when a request is sent, and not stored | {API} | test_wire_hosted::test_a_secret_of_a_hosted_server_is_sent_and_not_kept
response.unknown | Fields that nobody knows are kept: of the body, the message and the choice | {NATIVE}; OpenRouter 2026-04 | test_wire_decode::test_what_nobody_knows_of_a_message_or_a_choice_is_kept
stream.shapes | Reasoning, content, calls and usage are read in every shape that was recorded | {NATIVE} | test_wire_decode::test_wire_behaviour
stream.cuts | A stream gives the same in any cuts of its bytes | property | test_wire_decode::test_any_stream_gives_the_same_events_in_any_cuts
stream.restart | A second generation within the stream voids the first | zai-org/GLM-5#66 | test_wire_decode::test_a_restart_is_told_before_the_new_generation
stream.early | A call that ran early and belongs to a voided generation is thrown away | zai-org/GLM-5#66 | test_driver::test_a_generation_begun_anew_throws_early_calls_away
stream.unfinished | A stream without finish_reason is no answer, and may be tried again | Aether#1157 | test_wire_decode::test_an_incomplete_stream_is_never_an_answer_and_may_be_tried_again
stream.errors | Errors inside a stream (error chunk, event: error, a bare line) are what they mean | zai-sdk 0.2.3; CLIProxyAPI | test_wire_decode::test_an_error_inside_the_stream_is_raised_as_what_it_means
stream.idle | Single bytes and comments do not keep a dead answer alive; 300 s of silence end it | oh-my-pi#3819 | test_models_glm::test_noise_does_not_keep_a_dead_answer_alive
stream.end | A complete answer counts however its stream ends | opencode#49692 | test_models_glm::test_a_complete_answer_counts_however_its_stream_ends
calls.lenient | Single quotes, trailing commas, "2" for an integer: read where nothing is invented and the tool only reads | measured on peers | test_truthful::test_what_can_be_read_without_inventing_runs_at_once
calls.cut | Cut or glued JSON is told to the model and never guessed | GLM-5.1, measured on peers | test_truthful::test_what_is_cut_or_glued_is_told_to_the_model_and_never_guessed
calls.invented | Arguments cut anywhere never become other arguments | property | test_schema::test_arguments_cut_anywhere_never_become_other_arguments
calls.write | What writes never runs on repaired arguments | house rule | test_truthful::test_what_writes_never_runs_on_repaired_arguments
calls.name | Markup in a tool's name is taken apart | zai-org/GLM-5#84 | test_truthful::test_markup_in_the_tools_name_is_taken_apart
calls.markup | A call left as markup in the text runs, for offered tools and where the host is known for it | openclaude#1791, opencode#6883 | test_truthful::test_a_call_left_as_markup_in_the_text_runs
calls.unreadable | Markup that nobody can read is asked for as a call, once | sglang#30925 | test_models_endings::test_markup_that_nobody_can_read_is_asked_for_as_a_call
calls.same_id | Two calls under one id both run | measured on peers | test_truthful::test_two_calls_with_one_id_both_run_and_both_have_their_result
calls.unknown | An unknown tool is named to the model with the closest ones | measured on peers | test_truthful::test_an_unknown_tool_is_named_to_the_model
calls.raises | A tool that raises tells the model why, and the run goes on | measured on peers | test_truthful::test_a_tool_that_raises_tells_the_model_why_and_the_run_goes_on
calls.forever | The same call for ever ends with the steps, in words | GLM-5.3-Flash-EXL3#78 | test_truthful::test_the_same_call_for_ever_ends_with_the_steps
end.success | Only stop with an answer is a success; every other end has its own name | {API}; measured on peers | test_truthful::test_only_an_answer_is_a_success
end.lost | finish_reason network_error (HTTP 200) is asked for again | recordings, 2026-07 | test_truthful::test_an_answer_that_the_server_lost_is_asked_for_again
end.empty | Nothing, or thinking that ate the budget, is asked for once more with less thinking | mistral-vibe#1116, ollama#17097 | test_models_endings::test_an_empty_answer_is_asked_for_once_more
end.length | A cut answer is gone on with where that is wished | {API} | test_models_endings::test_a_cut_answer_is_gone_on_with_where_that_is_wished
end.window | A history that does not fit (1261, or a finish_reason) is sent without its older part | glm-acp-agent#44, hermes#2600 | test_models_endings::test_a_history_that_does_not_fit_is_sent_without_its_older_part_and_stays_short
end.nearly_full | At 80 % of a known window, by the server's count, room is made before it refuses | glm-acp-agent#46 | test_models_endings::test_a_nearly_full_window_is_made_room_in_before_the_server_refuses
thinking.verbatim | Thinking goes back word for word: dropped, quality falls without an error | opencode#4896, daiv#1451 | test_truthful::test_thinking_goes_back_word_for_word
thinking.kept | clear_thinking is false unless told otherwise: the two endpoints' defaults differ | {THINKING} | test_wire_settings::test_by_default_only_the_thinking_of_earlier_turns_is_asked_to_be_kept
thinking.foreign | Another model's thinking is not sent | {THINKING} | test_wire_encode::test_thinking_goes_back_word_for_word_to_the_model_that_thought_it
thinking.forced | The 5.3 family cannot stop thinking: "off" is the lowest effort | {THINKING} | test_wire_settings::test_a_model_that_cannot_stop_thinking_thinks_as_little_as_it_can
thinking.efforts | An effort is sent in a word that the model has | {THINKING} | test_wire_settings::test_an_effort_is_sent_in_a_word_that_the_model_has
errors.codes | The business code decides, whatever the status: 429 is also an unpaid bill | {CODES} | test_wire_failure::test_the_business_code_decides_whatever_the_status
errors.quota | 1113 and 1308 to 1321 are asked for once | {CODES} | test_truthful::test_no_balance_and_no_plan_are_asked_for_once
errors.reset | The time at which an allowance begins anew is read from the words | opencode#8618 | test_wire_failure::test_the_time_at_which_an_allowance_begins_anew_is_read_from_the_words
errors.waits | 1302 waits seconds, 1305 and 1312 half a minute to two | hermes-agent#93507 | test_models_retry::test_the_longest_waits_of_each_kind_of_failure
errors.secrets | A key in the server's words is never repeated | house rule | test_wire_failure::test_a_key_in_the_servers_words_is_never_repeated
limits.adaptive | 1302 halves what runs at once, a round of successes adds one | rate limits, docs.bigmodel.cn 2026-07 | test_models_limit::test_refusals_of_one_round_halve_once_and_a_round_of_successes_adds_one
limits.shared | All agents of a process share the limit of a key and model, over threads and loops | rate limits, docs.bigmodel.cn 2026-07 | test_models_limit::test_agents_of_one_key_learn_together_what_the_account_allows
limits.budget | Where everything fails, trying again ends | GLM-4#802 | test_models_limit::test_where_everything_fails_trying_again_ends
limits.fallback | The next model answers where the first fails, and the first rests | {CODES} (1305, 1312) | test_models_limit::test_the_next_model_answers_where_the_first_fails_and_the_first_rests
hosts.words | Each host is asked in its own words: a snapshot of every request | host documentation, 2026 | test_dialects::test_each_host_is_asked_in_its_own_words
hosts.foreign | No other host sees a field of Zhipu's | host documentation, 2026 | test_dialects::test_no_other_host_sees_a_field_of_zhipus
hosts.turn | A turn with a call and replayed thinking runs at every host | host documentation, 2026 | test_dialects::test_a_turn_runs_at_every_host
hosts.address | An address says which host it is | host documentation, 2026 | test_models_limit::test_an_address_says_which_host_it_is
accounts.signed | A key may sign tokens instead of being sent; they are used for three minutes | zai-sdk 0.2.3 | test_models_limit::test_a_token_is_signed_as_the_service_reads_it_and_used_for_three_minutes
accounts.cost | Tokens cost what the catalog says, cached ones less, in dollars | pricing, docs.z.ai 2026-10 | test_models_catalog::test_what_tokens_cost
accounts.yuan | … and in yuan, at the mainland's site | pricing, docs.bigmodel.cn 2026-10 | test_models_catalog::test_what_tokens_cost_in_yuan
accounts.count | Tokens are counted by the server before a request, tools included | {API} | test_models_endpoints::test_tokens_are_counted_by_the_server_tools_included
accounts.estimate | Where the server does not count, an estimate does, corrected by the usage that comes back | {API} | test_models_counting::test_the_estimate_comes_near_what_the_provider_counts
endpoints.search | Web search | {API} | test_models_endpoints::test_a_search_gives_pages_with_their_addresses
endpoints.reader | Web reader | {API} | test_models_endpoints::test_a_page_is_read_as_markdown
endpoints.embed | Embeddings | {API} | test_models_endpoints::test_texts_become_vectors_in_their_order
endpoints.rerank | Rerank | {API} | test_models_endpoints::test_documents_come_back_the_best_first
endpoints.later | Chat that is answered later | {API} | test_models_endpoints::test_an_answer_is_fetched_later
endpoints.batch | A batch of requests at half the price | {API} | test_models_endpoints::test_a_batch_answers_every_request_under_its_name
endpoints.mcp | The provider's MCP servers by name | Coding Plan, docs.z.ai 2026-10 | test_mcp_hosted::test_a_hosted_server_is_known_by_name_and_gets_the_sites_key
"""

BEHAVIOURS = tuple(Behaviour(*(cell.strip() for cell in line.split(" | "))) for line in _ROWS.strip().splitlines())

GAPS = (
    "Nothing was checked against the live service: the sources are documents, recordings and reports.",
    "The pixel size (6000 x 6000) of pictures and the length of sounds and videos are not checked before sending.",
    "The same call made again and again is ended by the limit of steps, not noticed earlier.",
    "A window that overflowed is made room in again in every turn: the stored history stays whole.",
)


def table() -> str:
    """The behaviours and gaps as Markdown."""
    rows = [f"| `{one.id}` | {one.sentence} | {one.source} | `{one.test}` |" for one in BEHAVIOURS]
    gaps = [f"- {gap}" for gap in GAPS]
    head = ["| id | what is done | source | test |", "|---|---|---|---|"]
    return "\n".join([BEGIN, "", *head, *rows, "", "Known and not done:", "", *gaps, "", END])


def page_with_table(page: str) -> str:
    """The page with its table as it is now."""
    before, _, rest = page.partition(BEGIN)
    return before + table() + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{len(BEHAVIOURS)} behaviours\n")
