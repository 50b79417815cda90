"""Plain columns: what fits, what is cut, what is made visible, and when there is colour."""

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.ctl.tables import (
    Column,
    Screen,
    cell,
    clean,
    fit,
    json_value,
    properties,
    screen,
    shrink,
    table,
    width,
)
from gatewayd.ctl.views import at

from .conftest import Terminal


def columns(*titles: str) -> list[Column]:
    return [Column(title, at(title), keep=title.isupper()) for title in titles]


def printed(rows: list[dict[str, object]], room: int | None, *titles: str) -> list[str]:
    out = io.StringIO()
    table(Screen(out, room, False), columns(*titles), rows)
    return out.getvalue().splitlines()


def test_columns_are_as_wide_as_they_need_to_be() -> None:
    assert printed([{"a": "x", "b": 1}, {"a": "yyyyyy"}], 80, "a", "b") == ["a       b", "x       1", "yyyyyy  -"]


def test_a_program_gets_tabs_and_no_padding() -> None:
    assert printed([{"a": "x\ty", "b": 1}, {"a": "y" * 99}], None, "a", "b") == ["a\tb", "x\\ty\t1", "y" * 99 + "\t-"]


def test_no_rows_is_the_heading_alone() -> None:
    assert printed([], 80, "a", "b") == ["a  b"]


def test_numbers_stand_at_the_right() -> None:
    out = io.StringIO()
    numbers = [Column("N", lambda row: row, right=True), Column("X", lambda row: "x")]
    table(Screen(out, 80, False), numbers, [1, 100])
    assert out.getvalue() == "  N  X\n  1  x\n100  x\n"


def test_on_a_terminal_the_widest_is_cut_and_what_is_kept_is_whole() -> None:
    lines = printed([{"ID": "i" * 32, "a": "a" * 100, "b": "bb"}], 80, "ID", "a", "b")
    assert lines[1] == "i" * 32 + "  " + "a" * 41 + "…  bb"
    assert len(lines[1]) == 80


def test_where_nothing_has_to_fit_nothing_is_cut() -> None:
    assert printed([{"a": "a" * 500}], None, "a")[1] == "a" * 500


@given(st.lists(st.integers(0, 300), min_size=1, max_size=9), st.data(), st.integers(30, 200))
def test_whatever_the_widths_they_fit(widths: list[int], draws: st.DataObject, room: int) -> None:
    column = st.builds(Column, st.just("A"), st.just(len), st.booleans(), st.integers(5, 60))
    columns = draws.draw(st.lists(column, min_size=len(widths), max_size=len(widths)))
    found = shrink(columns, widths, room)
    assert sum(found) + 2 * (len(found) - 1) <= max(room, 0)
    assert all(new <= old for new, old in zip(found, widths, strict=True))


@given(st.text(), st.integers(1, 20))
def test_fit_never_needs_more_room_than_there_is(text: str, room: int) -> None:
    text = clean(text)
    assert width(fit(text, room)) <= room
    if width(text) <= room:
        assert fit(text, room) == text


def test_wide_characters_count_twice_and_marks_not_at_all() -> None:
    assert width("日本") == 4
    assert width("e\u0301") == 1
    assert fit("日本語", 4) == "日…"
    assert fit("日本語", 0) == ""


@given(st.text())
def test_clean_leaves_nothing_that_a_terminal_obeys(text: str) -> None:
    for character in clean(text):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_clean_shows_what_was_there() -> None:
    assert clean("a\x1b[31m\n\x9b\u202e\ud800é日") == "a\\x1b[31m\\n\\x9b\\u202e\\ud800é日"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        ({}, "-"),
        (0, "0"),
        (False, "no"),
        (True, "yes"),
        (0.25, "0.25"),
        (1732153000.5, "1732153000.5"),
        (1e300, "1e+300"),
        ([1, "a\nb", None], "1, a\\nb, -"),
        ({"a": [1]}, '{"a": [1]}'),
        ([{"a": "\x1b"}], '[{"a": "\\u001b"}]'),
        ([["\u202e"]], '[["\\u202e"]]'),
    ],
)
def test_any_json_value_is_one_line(value: object, text: str) -> None:
    assert cell(value) == text


def test_the_screen() -> None:
    pipe = screen(io.StringIO(), {"COLUMNS": "100"})
    assert (pipe.columns, pipe.colour) == (None, False)
    assert pipe.lines is None
    person = screen(Terminal(), {"COLUMNS": "100", "LINES": "50"})
    assert (person.columns, person.lines, person.colour) == (100, 50, True)
    assert (screen(Terminal(), {}).columns, screen(Terminal(), {}).lines) == (80, 24)
    assert screen(Terminal(), {"COLUMNS": "0"}).columns == 80
    assert not screen(Terminal(), {"NO_COLOR": "1"}).colour
    assert screen(Terminal(), {"NO_COLOR": ""}).colour
    assert not screen(Terminal(), {"TERM": "dumb"}).colour


def test_colour_does_not_count_as_width() -> None:
    out = io.StringIO()
    states = [Column("STATE", lambda row: row, colours={"ready": "32"}), Column("X", lambda row: "x")]
    table(Screen(out, 80, True), states, ["ready", "closed"])
    assert out.getvalue() == ("\x1b[1mSTATE \x1b[0m  \x1b[1mX\x1b[0m\n\x1b[32mready \x1b[0m  x\nclosed  x\n")


def test_properties_fit() -> None:
    out = io.StringIO()
    properties(Screen(out, 40, False), [("n" * 100, "v" * 100), ("a\x1b", "b")])
    assert [len(line) for line in out.getvalue().splitlines()] == [40, 23]
    assert "\x1b" not in out.getvalue()
    properties(Screen(out, 40, False), [])


def test_json_for_a_program_is_the_text_that_came() -> None:
    out = io.StringIO()
    json_value(Screen(out, None, False), '{"a":1.10,"b":"\x9b"}\n', {"a": 1.1})
    assert out.getvalue() == '{"a":1.10,"b":"\x9b"}\n'


def test_json_on_a_terminal_is_indented_harmless_and_the_same_value() -> None:
    out = io.StringIO()
    value = {"a": ["\x9b\x7f\u202e\ud800\x1b\n", "é日😀\U000e0041"]}
    json_value(Screen(out, 80, False), json.dumps(value), value)
    assert json.loads(out.getvalue()) == value
    assert "é日😀" in out.getvalue()
    assert out.getvalue().replace("\n", "").isprintable()
    assert out.getvalue().startswith('{\n  "a": [\n')
