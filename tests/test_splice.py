"""JSON text that is changed only where it has to be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from respfix.stream.splice import dump, is_object, parse, respell, same

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 99)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=5)
SPELLINGS: list[dict[str, Any]] = [
    {},
    {"indent": 1},
    {"indent": "\t"},
    {"separators": (",", ":")},
    {"separators": (" , ", " : ")},
    {"ensure_ascii": False},
]


def test_what_did_not_change_keeps_its_spelling() -> None:
    """Numbers, escapes, blanks and the order of keys."""
    text = '{ "a" : 0.00002288818359375, "b":1.0,"c":"caf\\u00e9 \\/", "d":[1,2], "e":1E+2}'
    body, _ = parse(text)

    assert text == respell(text, body, dict(body))
    assert text.replace("[1,2]", "[1,3]") == respell(text, body, body | {"d": [1, 3]})
    assert text.replace('"b":1.0', '"b":2') == respell(text, body, body | {"b": 2})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"x": 1}, '{"a":1, "b": {"c":[ ]} ,"x":1}'),
        ({"b": {"c": []}, "a": 2}, '{"a":2, "b": {"c":[ ]} }'),
        ({"b": {"c": [7]}}, '{"a":1, "b": {"c":[7]} }'),
        ({"b": {}}, '{"a":1, "b": {} }'),
        ({"b": None}, '{"a":1, "b": null }'),
    ],
)
def test_only_what_changed_is_written(changes: dict[str, Any], expected: str) -> None:
    """A new key goes to the end; a value is replaced where it stands."""
    text = '{"a":1, "b": {"c":[ ]} }'
    body, _ = parse(text)
    spelled = respell(text, body, body | changes)

    assert json.loads(expected) == json.loads(spelled)
    assert "".join(expected.split()) == "".join(spelled.split())


def test_a_key_takes_its_comma_along() -> None:
    """First, middle and last."""
    text = '{"a":1,"b":2,"c":3}'
    body, _ = parse(text)

    assert ['{"b":2,"c":3}', '{"a":1,"c":3}', '{"a":1,"b":2}', "{}"] == [
        respell(text, body, {key: value for key, value in body.items() if key not in gone})
        for gone in ("a", "b", "c", "abc")
    ]


@settings(max_examples=300)
@given(OBJECTS, OBJECTS, st.sampled_from(SPELLINGS))
def test_the_new_text_says_the_new_value(old: dict[str, Any], new: dict[str, Any], spelling: dict[str, Any]) -> None:
    """Whatever it was, whatever it becomes, however it was spelled."""
    text = json.dumps(old, **spelling)
    wanted = {**old, **new}

    assert wanted == json.loads(respell(text, old, wanted))
    assert new == json.loads(respell(text, old, new))
    assert text == respell(text, old, json.loads(text))


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), ([0], [False]), ({"a": 1}, {"a": True}), ("1", 1)])
def test_one_is_not_true(one: object, other: object) -> None:
    """JSON has more kinds of one than Python."""
    assert not same(one, other)
    assert same({"a": [one, {"b": None}]}, {"a": [one, {"b": None}]})


def test_text_is_written_as_openai_writes_it() -> None:
    """Compact, and not escaped; half a character has to be."""
    assert '{"a":"é","b":[1.0,null]}' == dump({"a": "é", "b": [1.0, None]})
    assert '"\\ud83d"' == dump("\ud83d")
    assert '[null,{"a":null}]' == dump([float("inf"), {"a": float("nan")}])


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('{"a":1}', set()),
        ('{"a":1,"a":2}', {"duplicate-keys"}),
        ('{"b":{"a":1,"a":2}}', {"duplicate-keys"}),
        ('{"a":NaN,"b":-Infinity}', {"not-a-number"}),
    ],
)
def test_what_strict_readers_refuse_is_noted(text: str, faults: set[str]) -> None:
    """At any depth."""
    assert faults == parse(text)[1]


@pytest.mark.parametrize("text", ["", "{", "{} {}", "[" * 100_000, "nul"])
def test_what_is_not_json_is_a_value_error(text: str) -> None:
    """However deep it goes."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)
    assert not is_object(text)


def test_of_duplicate_keys_the_last_one_is_spelled() -> None:
    """Nobody can tell which of the two spellings counts, so the object is written anew."""
    text = '{"a":1,"a":2,"b":3}'
    body, _ = parse(text)

    assert '{"a":2,"b":4}' == respell(text, body, body | {"b": 4})
