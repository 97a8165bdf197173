"""Which step answers a request, and what it says: from the messages alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from glm_agent.simulate.answer import Answer, NoAnswer, Player
from glm_agent.simulate.conversation import Conversation
from glm_agent.simulate.directive import DirectivePlayer, EchoPlayer
from glm_agent.simulate.play import ScenarioPlayer
from glm_agent.simulate.scenario_file import scenario_of
from glm_agent.simulate.server import player_of

Message = dict[str, Any]


class Talk:
    """A conversation with a player: what it says goes into the history, as a client would put it."""

    def __init__(self, player: Player, *, tools: tuple[str, ...] = ()) -> None:
        self.player = player
        self.messages: list[Message] = []
        self.tools = [{"type": "function", "function": {"name": name}} for name in tools]

    def ask(self) -> Answer:
        body = {"model": "glm-4.7", "messages": json.loads(json.dumps(self.messages)), "tools": self.tools}
        return self.player.answer(Conversation.of(body))

    def say(self, text: str) -> Answer:
        self.messages.append({"role": "user", "content": text})
        return self._heard()

    def give(self, *results: Any) -> Answer:
        """Results of the last answer's calls."""
        for number, result in enumerate(results):
            text = result if isinstance(result, str) else json.dumps(result)
            self.messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": text})
        return self._heard()

    def _heard(self) -> Answer:
        answer = self.ask()
        calls = [
            {"id": f"call_{number}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for number, call in enumerate(answer.calls)
        ]
        self.messages.append({"role": "assistant", "content": answer.text, **({"tool_calls": calls} if calls else {})})
        return answer


def play(text: str, **more: Any) -> Talk:
    return Talk(ScenarioPlayer(scenario_of(yaml.safe_load(text)), source="test"), **more)


def called(answer: Answer) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in answer.calls]


STOCK = r"""
turns:
  - when: {user: 'how many (?P<sku>\S+)\?'}
    steps:
      - calls: [{stock: {sku: "{{ match.sku }}"}}, orders]
      - say: "{{ results.stock }} of {{ match.sku }}, {{ results.orders | length }} orders"
  - when: {user: thanks}
    steps: [{say: You are welcome.}]
"""


def test_an_answer_is_made_from_what_the_tools_returned() -> None:
    talk = play(STOCK)
    assert called(talk.say("how many A-17?")) == [("stock", {"sku": "A-17"}), ("orders", {})]
    assert talk.give(3, [{"id": 1}, {"id": 2}]).text == "3 of A-17, 2 orders"
    assert talk.say("thanks!").text == "You are welcome."


def test_a_turn_may_come_again_and_starts_anew() -> None:
    talk = play(STOCK)
    talk.say("how many A-17?")
    talk.give(3, [])
    assert called(talk.say("how many B-3?"))[0] == ("stock", {"sku": "B-3"})
    assert talk.give(4, []).text == "4 of B-3, 0 orders"


def test_a_stored_conversation_finds_its_place_in_another_player() -> None:
    talk = play(STOCK)
    talk.say("how many A-17?")
    talk.player = play(STOCK).player
    assert talk.give(3, []).text == "3 of A-17, 0 orders"


def test_parallel_results_may_come_in_any_order() -> None:
    talk = play(
        'steps: [{calls: [{add: {n: 1}}, {add: {n: 2}}]}, {say: \'{{ calls | map(attribute="text") | join(",") }}\'}]'
    )
    talk.say("Hi")
    talk.messages += [
        {"role": "tool", "tool_call_id": "call_1", "content": "second"},
        {"role": "tool", "tool_call_id": "call_0", "content": "first"},
    ]
    assert talk.ask().text == "first,second"


def test_results_can_be_asked_for_by_name_and_by_number() -> None:
    talk = play("""
steps:
  - calls: [a, get, a]
  - say: >-
      {{ 'a' in results }} {{ 'b' in results }} {{ results.get }} {{ results[0] }} {{ results[-1] }} {{ results.a }}
      {{ results | list }} {{ all_results.b }} {{ results.b is defined }} {{ results | length }}
""")
    talk.say("go")
    assert talk.give("1", {"k": 2}, "3").text == 'true false {"k": 2} 1 3 3 [1, {"k": 2}, 3] [] false 3'


def test_a_result_is_not_seen_before_it_came() -> None:
    talk = play("steps: [{calls: [a]}, {when: results | length == 1, calls: [a]}, {say: '{{ results | length }}'}]")
    talk.say("go")
    talk.give("1")
    assert talk.give("2").text == "2"


def test_steps_follow_the_answers_whatever_the_user_says() -> None:
    talk = play("steps: [{say: one}, {say: 'two: {{ users | join(\"/\") }}'}]")
    assert talk.say("a").text == "one"
    assert talk.say("b").text == "two: a/b"


def test_turns_without_a_condition_come_in_order() -> None:
    talk = play("turns: [{steps: [{say: one}]}, {steps: [{say: two}]}, {when: {user: stop}, steps: [{say: bye}]}]")
    assert [talk.say(text).text for text in ("a", "stop", "b")] == ["one", "bye", "two"]


def test_of_two_turns_that_match_the_unused_comes_next() -> None:
    talk = play("turns: [{when: {user: go}, steps: [{say: one}]}, {when: {user: go}, steps: [{say: two}]}]")
    assert [talk.say("go").text for _ in range(3)] == ["one", "two", "two"]


PICTURE = "turns: [{steps: [{calls: [look]}, {say: '{{ user }} {{ users[-1] }}'}]}, {%s steps: [{say: other}]}]"


@pytest.mark.parametrize(("when", "heard"), [("", "see stop"), ("when: {user: stop},", "other")])
def test_a_message_after_results_begins_a_turn_only_where_it_is_meant(when: str, heard: str) -> None:
    talk = play(PICTURE % when)
    talk.say("see")
    talk.messages += [{"role": "tool", "tool_call_id": "call_0", "content": "x"}]
    assert talk.say("stop").text == heard


def test_a_turn_can_ask_for_tools_system_model_and_expressions() -> None:
    text = """
turns:
  - {when: {system: judge}, steps: [{say: judged}]}
  - {when: {tools: [stock]}, steps: [{say: tooled}]}
  - {when: {model: glm-5*}, steps: [{say: five}]}
  - {when: "user | length > 10", steps: [{say: long}]}
  - {when: {tools: []}, steps: [{say: bare}]}
"""
    judged = play(text)
    judged.messages.append({"role": "system", "content": "You are a judge."})
    assert judged.say("Hi").text == "judged"
    assert play(text, tools=("stock", "x")).say("Hi").text == "tooled"
    assert play(text).say("a long message").text == "long"
    assert play(text).say("Hi").text == "bare"


def test_a_step_is_repeated_until_its_condition_holds() -> None:
    talk = play("""
steps:
  - calls: [{start: {}}]
  - until: results.poll.state == "done"
    calls: [{poll: {job: "{{ results.start.job }}", try: "{{ iteration }}"}}]
  - say: "{{ all_results.poll | length }} polls"
""")
    talk.say("go")
    assert called(talk.give({"job": 7})) == [("poll", {"job": 7, "try": 0})]
    assert called(talk.give({"state": "running"})) == [("poll", {"job": 7, "try": 1})]
    assert talk.give({"state": "done"}).text == "2 polls"


def test_blocks_repeat_and_leave_out_what_does_not_apply() -> None:
    talk = play("""
vars: {rounds: 2}
steps:
  - repeat: rounds
    steps:
      - calls: [{read: {n: "{{ iteration }}"}}]
      - {when: results.read == "bad", say: "bad"}
  - {when: {result: good}, say: it was good}
  - say: "end {{ step }}"
""")
    answers = [talk.say("go"), talk.give("bad"), talk.say("and?"), talk.give("good"), talk.say("more")]
    assert [answer.text or called(answer) for answer in answers] == [
        [("read", {"n": 0})],
        "bad",
        [("read", {"n": 0})],
        "it was good",
        "end 5",
    ]


def test_a_block_of_which_nothing_applies_is_left() -> None:
    assert play("steps: [{repeat: 1000000000, steps: [{when: false, say: a}]}, {say: b}]").say("go").text == "b"


def test_for_each_makes_parallel_calls() -> None:
    talk = play("""
steps:
  - calls: [list]
  - calls:
      - name: read
        for_each: results.list.files
        arguments: {path: "{{ item.path }}", n: "{{ loop_index }}"}
        id: "c{{ loop_index }}"
""")
    talk.say("go")
    answer = talk.give({"files": [{"path": "a"}, {"path": "b"}]})
    assert called(answer) == [("read", {"path": "a", "n": 0}), ("read", {"path": "b", "n": 1})]
    assert [call.id for call in answer.calls] == ["c0", "c1"]


def test_arguments_that_are_a_text_go_out_as_they_are() -> None:
    answer = play("""
vars: {listed: [1]}
steps: [{calls: [{name: add, arguments: '{"a": '}, {name: set, arguments: "{{ listed | tojson }}"}]}]
""").say("go")
    assert [call.arguments for call in answer.calls] == ['{"a": ', "[1]"]


LOST: dict[str, tuple[str, str]] = {
    "no turn": (
        STOCK,
        "scenario 'test' has no step for this request: no turn begins with the user message 'Hi';"
        " the last message is user: 'Hi'",
    ),
    "undefined": (
        "steps: [{name: sum, say: '{{ results.add }}'}]",
        "turn 1, step 1 'sum': there is no result 'add' among the results of no tool yet",
    ),
    "expectation": ("steps: [{say: a, expect: user == 'b'}]", "turn 1, step 1: 'expect: user == 'b'' does not hold"),
    "condition": (
        "steps: [{say: a, when: results.add > 1}]",
        "'when: results.add > 1' cannot be decided: there is no result 'add'",
    ),
    "turn's condition": (
        "turns: [{when: nothing > 1, steps: [{say: a}]}]",
        "'when: nothing > 1' cannot be decided: 'nothing' is undefined",
    ),
    "repeat": ("steps: [{say: a, repeat: results.n}]", "there is no result 'n'"),
    "repeat no number": ("steps: [{say: a, repeat: user}]", "'repeat: user' is 'Hi', which is no number"),
    "for_each no list": (
        "steps: [{calls: [{name: x, for_each: '5'}]}]",
        "'for_each: 5' is 5, which is no list",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_answered_says_why(name: str) -> None:
    text, sentence = LOST[name]
    with pytest.raises(NoAnswer) as none:
        play(text).say("Hi")
    assert sentence in str(none.value)


def test_a_scenario_at_its_end_says_so() -> None:
    talk = play("steps: [{say: a}]")
    talk.say("Hi")
    sentence = "all 1 steps of turn 1 were given already; the last message is user: 'more'"
    with pytest.raises(NoAnswer, match=sentence):
        talk.say("more")


def test_unused_steps_are_named() -> None:
    talk = play("""
turns:
  - name: greeting
    steps: [{say: Hi}, {name: later, repeat: 2, steps: [{say: a}, {say: b, name: last}]}, {say: c, optional: true}]
""")
    assert len(talk.player.unused_steps()) == 3
    talk.say("Hi")
    talk.say("and")
    assert talk.player.unused_steps() == ["turn 1 'greeting', step 2.2 'last'"]


def test_steps_that_an_earlier_process_gave_are_used_too() -> None:
    scenario = """
turns:
  - {when: {user: one}, steps: [{say: a, name: first}]}
  - {when: {user: two}, steps: [{say: b}]}
"""
    earlier = play(scenario)
    earlier.say("one")
    later = play(scenario)
    later.messages = earlier.messages
    later.say("two")
    assert later.player.unused_steps() == []


# -- python files ---------------------------------------------------------------------------------------------

SCRIPT = """
def answer(request):
    if request.user == "fail":
        raise KeyError("nothing")
    if request.user == "none":
        return None
    if not request.calls:
        return {"think": "{{ hm }}", "calls": [{"stock": {"sku": "{%", "n": 5}}]}
    return f"There are {request.results['stock']} at step {request.step}, {request.calls[0].arguments['n']}"
"""


def test_a_python_function_answers(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(SCRIPT, encoding="utf-8")
    talk = Talk(player_of(tmp_path / "s.py"))
    first = talk.say("go")
    assert first.reasoning == "{{ hm }}", "its texts are no templates"
    assert called(first) == [("stock", {"sku": "{%", "n": 5})]
    assert talk.give(3).text == "There are 3 at step 2, 5"
    for text, sentence in (("fail", "KeyError: 'nothing'"), ("none", "returned None, neither a text nor a step")):
        with pytest.raises(NoAnswer, match=sentence):
            Talk(talk.player).say(text)


# -- without a scenario -----------------------------------------------------------------------------------------


def test_directives_call_in_parallel_and_one_after_the_other() -> None:
    talk = Talk(DirectivePlayer(), tools=("add",))
    first = talk.say(
        'Please:\n  call add {"a": 2, "b": 3}\n- call add {\n  "a": 4,\n  "b": 5}\nthen call nosuch\nthank you'
    )
    assert called(first) == [("add", {"a": 2, "b": 3}), ("add", {"a": 4, "b": 5})]
    assert called(talk.give("5", "9")) == [("nosuch", {})]
    assert talk.give("error: no such tool").text == "add: 5\nadd: 9\nnosuch: error: no such tool"


@pytest.mark.parametrize(
    ("result", "text", "answer"),
    [
        ("no result: the turn was left and a new message came", "say Bonjour.", "Bonjour."),
        ("no result: the turn was left and a new message came", "Hello?", "I am the simulated model"),
        ("5", "say Bonjour.", "5"),
    ],
)
def test_a_message_after_an_interrupted_call_begins_a_turn(result: str, text: str, answer: str) -> None:
    talk = Talk(DirectivePlayer(), tools=("add",))
    talk.say('call add {"a": 2, "b": 3}')
    talk.messages.append({"role": "tool", "tool_call_id": "call_0", "content": result})
    assert talk.say(text).text.startswith(answer)


def test_directives_think_say_and_finish() -> None:
    talk = Talk(DirectivePlayer())
    first = talk.say("think I add.\nsay Adding.\ncall add {}\nthen say Done.\nsay Bye.\nfinish length")
    assert (first.reasoning, first.text, called(first)) == ("I add.", "Adding.", [("add", {})])
    last = talk.give("5")
    assert (last.text, last.finish_reason) == ("Done.\nBye.", "length")


def test_directives_stand_in_the_message_that_began_the_turn() -> None:
    talk = Talk(DirectivePlayer(), tools=("look",))
    talk.say("say Hello.")
    assert called(talk.say("call look\nthen say Seen.")) == [("look", {})]
    talk.messages.append({"role": "tool", "tool_call_id": "call_0", "content": "a picture"})
    assert talk.say("call another").text == "Seen.", "what follows a result directly is no new turn"


def test_one_result_is_repeated_alone() -> None:
    talk = Talk(DirectivePlayer())
    talk.say("call add {}")
    assert talk.give("5").text == "5"


def test_broken_arguments_are_sent_as_they_are() -> None:
    assert Talk(DirectivePlayer()).say('call add {"a": 2,').calls[0].arguments == '{"a": 2,'


@pytest.mark.parametrize(
    "prose", ["Call me.", "Please call add {}", "call my mother tomorrow", "recall add {}", "callback {}"]
)
def test_prose_is_no_directive(prose: str) -> None:
    answer = Talk(DirectivePlayer(), tools=("add", "list")).say(prose)
    assert not answer.calls
    assert "Tools offered: add, list." in answer.text


def test_at_the_step_limit_the_model_answers_in_words() -> None:
    talk = Talk(DirectivePlayer(), tools=("add",))
    talk.say("call add {}\nthen call add {}")
    talk.tools = []
    assert talk.give("5").text == "5"


def test_echo_repeats_the_user() -> None:
    assert Talk(EchoPlayer()).say("call add {}").text == "call add {}"


def test_what_is_built_in_needs_no_yaml() -> None:
    program = (
        "import sys; from glm_agent.simulate.server import player_of; player_of('echo'); print('yaml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
