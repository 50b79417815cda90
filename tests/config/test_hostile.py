"""Texts that are no configuration at all, values that could do harm, and secrets that a mistake must not show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.config.load import ConfigError, parse

from .fakes import LISTENER, PROTOCOLS, mistakes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: listeners: at least one [[listeners]] is needed"),
        ("[gateway]", ":1: listeners: at least one [[listeners]] is needed"),
        ("\n[listeners]", ":2: listeners: expected tables under [[listeners]], in double brackets, got one table"),
        ("listeners = [1]", ":1: listeners[0]: expected table, got number"),
        ("a = 1\nb = \nc = 1", ":2: not TOML: Invalid value"),
        ("a = 1\n[x\n", ":2: not TOML: Expected ']' at the end of a table declaration"),
        ("a = 1\na = 2\n", ":2: not TOML: Cannot overwrite a value"),
        ("a = 1\nb = [", ":2: not TOML: Invalid value"),
        ("a = 1\nb = " + "9" * 5000, ":2: the number is too large"),
        ("a = " + "[" * 5000 + "]" * 5000, ":1: nested too deeply"),
    ],
)
def test_whole_files(text: str, said: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake == f"bad.toml{said}"


def test_what_is_never_right_hides_nothing_else() -> None:
    huge = "0x" + "f" * 5000  # too long to be printed in decimal
    text = f"""\
limits.max_clients = {huge}
limits.outbox_age = nan
gateway.node = {huge}
gateway.shutdown_grace = {huge}
admin.mode = {huge}
"auth"."a\\u0000" = {{ kind = "open" }}
auth.x = {{ kind = "static", secrets = ["\\u0000"], users = {{ "b\\u0000" = "" }} }}
{LISTENER}
options = {{ ad_hoc = {huge}, ratio = {huge}, level = "\\u0000", extra = {{ a = [{{ b = inf }}], "\\u0000" = 1 }} }}
nosuch = {huge}
"""
    assert mistakes(text) == [
        "bad.toml:1: limits.max_clients: the number is too large",
        "bad.toml:2: limits.outbox_age: expected a finite number, got nan",
        "bad.toml:3: gateway.node: the number is too large",
        "bad.toml:4: gateway.shutdown_grace: the number is too large",
        "bad.toml:5: admin.mode: the number is too large",
        'bad.toml:6: auth."a\\u0000": a key must not contain a NUL character',
        "bad.toml:7: auth.x.secrets[0]: text must not contain a NUL character",
        'bad.toml:7: auth.x.users."b\\u0000": a key must not contain a NUL character',
        'bad.toml:7: auth.x.users."b\\u0000": a secret must not be empty',
        "bad.toml:13: listeners[0].options.ad_hoc: the number is too large",
        "bad.toml:13: listeners[0].options.ratio: the number is too large",
        "bad.toml:13: listeners[0].options.level: text must not contain a NUL character",
        'bad.toml:13: listeners[0].options.extra."\\u0000": a key must not contain a NUL character',
        "bad.toml:13: listeners[0].options.extra.a[0].b: expected a finite number, got inf",
        "bad.toml:14: listeners[0].nosuch: unknown key",
    ]


def test_an_impossible_interval_is_told_once() -> None:
    text = LISTENER.replace("utilbot", "oxyl") + 'heartbeat_interval = "-1s"\n'
    assert mistakes(text) == ["bad.toml:5: listeners[0].heartbeat_interval: must be more than 0, got -1"]


def test_keys_are_shown_as_people_write_them() -> None:
    assert mistakes('"ü\\u001b" = 1\n' + LISTENER) == ['bad.toml:1: "ü\\u001b": unknown key']


def test_deep_but_readable_nesting_is_refused() -> None:
    dotted = ".".join("a" * 100)
    (said,) = mistakes(f"{dotted} = 1\n" + LISTENER)
    assert said.endswith(": nested too deeply")


SECRET_PLACES = [
    "[auth.x]\nkind = 'static'\nsecrets = 'hunter2'",
    "[auth.x]\nkind = 'static'\nsecrets = [['hunter2']]",
    "[auth.x]\nkind = 'static'\nusers = 'hunter2'",
    "[auth.x]\nkind = 'static'\nusers = { a = ['hunter2'] }",
    "auth.x = 'hunter2'",
    "auth = 'hunter2'",
    "[api]\nbind = 'a:1'\ntokens = ['hunter2']",
    "[api]\nbind = 'a:1'\ntokens = [{ name = 'a', token = 'hunter2\\u0000', scopes = [] }]".replace("'", '"'),
    "[auth.x]\nkind = 'static'\nsecrets = ['hunter2'",
    "[auth.x]\nkind = 'static'\nsecret = 'hunter2'",
]


@pytest.mark.parametrize("text", SECRET_PLACES)
def test_no_mistake_shows_a_secret(text: str) -> None:
    said = mistakes(f"{text}\n{LISTENER}")
    assert said
    assert "hunter2" not in "".join(said)


def test_a_secret_given_as_number_is_not_shown() -> None:
    (said,) = mistakes(f"[auth.x]\nkind = 'static'\nsecrets = [31337]\n{LISTENER}")
    assert said == "bad.toml:3: auth.x.secrets[0]: expected string, got number"


# A small alphabet of trouble: building the tables of all of Unicode takes longer than the test.
TEXT = st.text(alphabet="a1:/.-[]{}'\"\\\0\n\x7fü٣\U0001f600", max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KEYS = ["name", "protocol", "bind", "auth", "heartbeat_interval", "heartbeat_tolerance", "rate_limit", "origins"]
KEYS += ["trusted_proxies", "options", "tls_cert", "tls_key", "max_clients", "outbox_age", "resume_events"]


def toml(value: object) -> str:
    """Any value as TOML text; None, which TOML has not, as an empty array."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000) + '"'
    if isinstance(value, dict):
        pairs = {toml(key): toml(item) for key, item in value.items()}
        return "{" + ", ".join(f"{key} = {item}" for key, item in pairs.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "[]" if value is None else repr(value)


@given(
    listener=st.dictionaries(st.sampled_from(KEYS), VALUES),
    top=st.dictionaries(st.sampled_from(["auth", "api", "limits"]), VALUES),
)
def test_no_values_crash_the_loader(listener: dict[str, object], top: dict[str, object]) -> None:
    lines = [f"{key} = {toml(value)}" for key, value in top.items()]
    lines += ["[[listeners]]"] + [f"{key} = {toml(value)}" for key, value in listener.items()]
    lines += ["never = 1"]  # so that there is always a mistake to look at
    with pytest.raises(ConfigError) as caught:
        parse("\n".join(lines), "any.toml", PROTOCOLS, environ={})
    assert all(mistake.startswith("any.toml:") for mistake in caught.value.mistakes)


@given(st.text(alphabet="ab01.=[]{}\"'\\\n#, -", max_size=40))
def test_no_text_crashes_the_loader(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, "any.toml", PROTOCOLS, environ={})
