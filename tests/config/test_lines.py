"""Lines of keys: every way in which TOML writes a key or spreads a value over lines."""

import tomllib

import pytest

from gatewayd.config.lines import Where, index_lines, line_of

TEXT = '''\
# a comment with [brackets] and "quotes
top = 1
[table]# comment
  plain = "x # no comment"   # a comment
"quoted key" = 'it\\'
dotted.inner."last one" = true
multi = """
key_in_text = 1
[not.a.table] \\""" still \\\\"""""
after = 1
literal = \'\'\'
also = "not a key"
\'\'\'\'\'
array = [
  1, # one ] bracket
  { x = 1, y.z = [
     2] },

  "three",
]# comment
inline = { a = 1, "b c" = { d = [[], [7]] } }# comment
date = 1979-05-27 07:32:00
[[list]]# comment
name = 1
[list.sub]
deep = 1
[[list.items]]
k = 1
[[list.items]]
k = 1
[[list]]
name = 2
[ "spaced" . key ]
"\\u0061\\t" = 0
'''

EXPECTED: dict[Where, int] = {
    ("top",): 2,
    ("table",): 3,
    ("table", "plain"): 4,
    ("table", "quoted key"): 5,
    ("table", "dotted"): 6,
    ("table", "dotted", "inner"): 6,
    ("table", "dotted", "inner", "last one"): 6,
    ("table", "multi"): 7,
    ("table", "after"): 10,
    ("table", "literal"): 11,
    ("table", "array"): 14,
    ("table", "array", 0): 15,
    ("table", "array", 1): 16,
    ("table", "array", 1, "x"): 16,
    ("table", "array", 1, "y"): 16,
    ("table", "array", 1, "y", "z"): 16,
    ("table", "array", 1, "y", "z", 0): 17,
    ("table", "array", 2): 19,
    ("table", "inline"): 21,
    ("table", "inline", "a"): 21,
    ("table", "inline", "b c"): 21,
    ("table", "inline", "b c", "d"): 21,
    ("table", "inline", "b c", "d", 0): 21,
    ("table", "inline", "b c", "d", 1): 21,
    ("table", "inline", "b c", "d", 1, 0): 21,
    ("table", "date"): 22,
    ("list",): 23,
    ("list", 0): 23,
    ("list", 0, "name"): 24,
    ("list", 0, "sub"): 25,
    ("list", 0, "sub", "deep"): 26,
    ("list", 0, "items"): 27,
    ("list", 0, "items", 0): 27,
    ("list", 0, "items", 0, "k"): 28,
    ("list", 0, "items", 1): 29,
    ("list", 0, "items", 1, "k"): 30,
    ("list", 1): 31,
    ("list", 1, "name"): 32,
    ("spaced",): 33,
    ("spaced", "key"): 33,
    ("spaced", "key", "a\t"): 34,
}


def places(value: object, where: Where = ()) -> set[Where]:
    """Every place in a loaded TOML value."""
    found = {where} if where else set()
    if isinstance(value, dict):
        return found.union(*(places(item, (*where, key)) for key, item in value.items()))
    if isinstance(value, list):
        return found.union(*(places(item, (*where, index)) for index, item in enumerate(value)))
    return found


def test_every_place_has_its_line() -> None:
    assert index_lines(TEXT) == EXPECTED


def test_the_places_are_those_that_tomllib_sees() -> None:
    assert places(tomllib.loads(TEXT)) == set(EXPECTED)


def test_windows_line_ends_count_once() -> None:
    assert index_lines(TEXT.replace("\n", "\r\n")) == EXPECTED


@pytest.mark.parametrize("text", ["", "# only a comment", "\n\n", "a = 1", 'a = ""', "a = ''", 'a = """"""', "a = []"])
def test_short_texts_end(text: str) -> None:
    assert index_lines(text) == ({("a",): 1} if "=" in text else {})


def test_a_missing_key_stands_where_its_table_does() -> None:
    lines = index_lines("x = 1\n[table]\ny = 1\n")
    assert line_of(lines, ("table", "y")) == 3
    assert line_of(lines, ("table", "missing", 4, "z")) == 2
    assert line_of(lines, ("nowhere",)) == 1
    assert line_of(lines, ()) == 1


def test_a_table_after_its_subtable_has_its_own_line() -> None:
    assert index_lines("[a.b]\n[a]\nx = 1\n") == {("a",): 2, ("a", "b"): 1, ("a", "x"): 3}


def test_text_that_tomllib_would_refuse_does_not_loop() -> None:
    with pytest.raises(AssertionError, match="no key at 0"):
        index_lines("= 1")
