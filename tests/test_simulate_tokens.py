"""Counting, cutting and remembering prompts."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from glm_agent.simulate.tokens import PrefixCache, blocks, count, cut, pieces, prompt_tokens

TEXT = st.text(st.characters(codec="utf-8"), max_size=200)


def test_latin_and_chinese_text_count_about_as_a_tokenizer_would() -> None:
    assert count("") == 0
    assert count("word") == 1
    assert count("The quick brown fox jumps over the lazy dog.") == 11
    assert count("你好，世界！") == 4
    assert count("mixed 混合") == 2 + 2


@given(TEXT, st.integers(0, 60))
def test_a_cut_text_is_the_longest_beginning_that_fits(text: str, tokens: int) -> None:
    short = cut(text, tokens=tokens)
    assert text.startswith(short)
    assert count(short) <= tokens
    assert short == text or count(text[: len(short) + 1]) > tokens


@given(TEXT, st.none() | st.integers(1, 20))
def test_pieces_make_the_text_again(text: str, characters: int | None) -> None:
    parts = list(pieces(text, characters=characters))
    assert "".join(parts) == text
    assert all(parts)


def test_a_long_text_comes_in_a_bounded_number_of_pieces() -> None:
    assert len(list(pieces("word " * 100_000))) <= 401


def test_each_picture_is_another_prompt_of_the_same_price() -> None:
    def seen(url: str) -> tuple[str, ...]:
        content: list[Any] = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
        return blocks({"messages": [{"role": "user", "content": content}]}, keeps_thinking=True)

    (one,), (two,) = seen("https://a.b/c.png"), seen("data:image/png;base64," + "A" * 9_000)
    assert one != two
    assert prompt_tokens(one) == prompt_tokens(two) > 1_000


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), min_size=1, max_size=6))
def test_known_tokens_are_those_of_the_longest_common_prefix(prompts: list[list[str]]) -> None:
    cache = PrefixCache()
    seen: list[list[str]] = []
    for prompt in prompts:
        common = max((_common(prompt, earlier) for earlier in seen), default=0)
        assert cache.look_up("key", prompt, [10] * len(prompt)) == min(10 * common, 10 * len(prompt) - 1)
        seen.append(prompt)


def _common(one: list[str], two: list[str]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def test_accounts_share_nothing_and_old_prompts_are_forgotten() -> None:
    cache = PrefixCache(size=3)
    assert cache.look_up("one", ["a", "b"], [5, 5]) == 0
    assert cache.look_up("two", ["a", "b"], [5, 5]) == 0
    assert cache.look_up("two", ["a", "b", "c"], [5, 5, 5]) == 10
    assert cache.look_up("one", ["a", "b"], [5, 5]) == 0
