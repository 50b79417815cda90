"""The kinds of [auth.NAME]: what each may hold, and that no key is without effect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewayd.config.auth import HttpConfig, JwtConfig, OpenConfig
from gatewayd.config.show import dump
from gatewayd.config.values import Secret
from gatewayd.core.rate import Seconds
from tests.tokens import SECRET, jwk, pem

from .fakes import LISTENER, mistakes, read

HTTP = '[auth.x]\nkind = "http"\nurl = "http://127.0.0.1:8000/auth"\n'


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def jwt(more: str, path: Path) -> str:
    return f'[auth.x]\nkind = "jwt"\nkey_file = "{path}"\n{more}\n{LISTENER}'


def test_open_has_no_keys() -> None:
    assert read('[auth.x]\nkind = "open"\n' + LISTENER).auth["x"] == OpenConfig(kind="open")


def test_http_has_defaults_for_everything_but_the_url() -> None:
    auth = read(HTTP + LISTENER).auth["x"]
    assert auth == HttpConfig(
        kind="http",
        url="http://127.0.0.1:8000/auth",
        timeout=Seconds(2.0),
        cache_ttl=Seconds(0.0),
        cache_size=10_000,
        on_failure="refuse",
        breaker_failures=5,
        breaker_pause=Seconds(10.0),
        secret=None,
        max_connections=32,
        max_waiting=2000,
    )


def test_everything_that_http_can_say(tmp_path: Path) -> None:
    path = private(tmp_path / "s", "hush\n")
    more = (
        'timeout = "500ms"\ncache_ttl = "1m"\ncache_size = 5\non_failure = "allow"\nbreaker_failures = 2\n'
        f'breaker_pause = "3s"\nsecret_file = "{path}"\nmax_connections = 4\nmax_waiting = 6\n'
    )
    config = read(HTTP + more + LISTENER)
    auth = config.auth["x"]
    assert isinstance(auth, HttpConfig)
    assert (auth.timeout, auth.cache_ttl, auth.cache_size, auth.on_failure) == (0.5, 60.0, 5, "allow")
    assert (auth.breaker_failures, auth.breaker_pause, auth.secret) == (2, 3.0, Secret("hush"))
    assert (auth.max_connections, auth.max_waiting) == (4, 6)
    assert "hush" not in dump(config) + repr(config)
    assert 'secret = "********"' in dump(config)
    credential = read(HTTP + 'secret = "credential:s"\n' + LISTENER, CREDENTIALS_DIRECTORY=str(tmp_path)).auth["x"]
    assert isinstance(credential, HttpConfig)
    assert credential.secret == Secret("hush")


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://a/", "http://", "http:///auth", "http://a b/", "http://[::1/", "http://a:x/", "http://a:99999/",
     "http://a:0/", "http://ä/", "/auth", "http://a/\\n"],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    (said,) = mistakes(f'[auth.x]\nkind = "http"\nurl = "{url}"\n' + LISTENER)
    assert said.startswith("bad.toml:3: auth.x.url: ")


@pytest.mark.parametrize("url", ["http://me:hunter2@a/", "http://me@a/", "http://a/#x"])
def test_a_url_holds_no_secret(url: str) -> None:
    assert mistakes(f'[auth.x]\nkind = "http"\nurl = "{url}"\n' + LISTENER) == [
        "bad.toml:3: auth.x.url: the URL must not hold a user, a password or a fragment"
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("timeout = 0", "timeout: must be more than 0, got 0"),
        ("timeout = 'soon'", 'timeout: expected a duration such as "30s", "500ms", "5m" or "1h", got \'soon\''),
        ("cache_ttl = -1", "cache_ttl: must not be negative, got -1"),
        ("cache_size = 0", "cache_size: must be more than 0, got 0"),
        ("on_failure = 'ignore'", "on_failure: expected one of 'refuse', 'allow', got string 'ignore'"),
        ("breaker_failures = 0", "breaker_failures: must be more than 0, got 0"),
        ("breaker_pause = 0", "breaker_pause: must be more than 0, got 0"),
        ("secret = ''", "secret: a secret must not be empty"),
        ("secret_file = '/nowhere'", "secret_file: cannot read /nowhere: No such file or directory"),
        ("max_connections = 0", "max_connections: must be more than 0, got 0"),
        ("max_waiting = 0", "max_waiting: must be more than 0, got 0"),
        ("cache_tll = '1s'", 'cache_tll: unknown key, did you mean "cache_ttl"?'),
        ("secrets = ['a']", 'secrets: is of kind "static", and this is "http"'),
        ("issuer = 'a'", 'issuer: is of kind "jwt", and this is "http"'),
    ],
)
def test_one_bad_key_of_http(line: str, said: str) -> None:
    assert mistakes(HTTP + line + "\n" + LISTENER) == [f"bad.toml:4: auth.x.{said}"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "algorithms = ['HS256', 'none']",
            "algorithms: unknown algorithm 'none', expected some of: HS256, RS256, ES256, EdDSA",
        ),
        ("algorithms = 'HS256'", "algorithms: expected array, got string"),
        ("algorithms = ['RS256']", "key_file: only has keys for HS256, which algorithms does not name"),
        ("audience = ''", "audience: must not be empty"),
        ("issuer = ''", "issuer: must not be empty"),
        ("leeway = -1", "leeway: must not be negative, got -1"),
        ("require_exp = 1", "require_exp: expected boolean (true or false), got number 1"),
        ("keys = []", "keys: unknown key"),
        ("url = 'http://a'", 'url: is of kind "http", and this is "jwt"'),
        ("users = { a = 'b' }", 'users: is of kind "static", and this is "jwt"'),
    ],
)
def test_one_bad_key_of_jwt(tmp_path: Path, line: str, said: str) -> None:
    line_number = 3 if said.startswith("key_file") else 4
    assert mistakes(jwt(line, private(tmp_path / "k", SECRET))) == [f"bad.toml:{line_number}: auth.x.{said}"]


def test_everything_that_jwt_can_say(tmp_path: Path) -> None:
    more = (
        'algorithms = ["HS256"]\naudience = "gatewayd"\nissuer = "https://id.example"\nleeway = "5s"\n'
        "require_exp = false"
    )
    config = read(jwt(more, private(tmp_path / "k", SECRET)))
    auth = config.auth["x"]
    assert isinstance(auth, JwtConfig)
    assert (auth.algorithms, auth.audience, auth.issuer) == (("HS256",), "gatewayd", "https://id.example")
    assert (auth.leeway, auth.require_exp) == (5.0, False)
    assert [key.algorithm for key in auth.keys] == ["HS256"]
    assert SECRET not in dump(config) + repr(config)
    assert "keys" not in dump(config)


def test_a_key_may_be_a_credential(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(pem("ES256"))
    auth = read(jwt("", Path("credential:k")), CREDENTIALS_DIRECTORY=str(tmp_path)).auth["x"]
    assert isinstance(auth, JwtConfig)
    assert [key.algorithm for key in auth.keys] == ["ES256"]


def test_a_set_is_read_as_far_as_algorithms_goes(tmp_path: Path) -> None:
    path = private(tmp_path / "set", json.dumps({"keys": [jwk("RS256", "a"), jwk("ES256", "b")]}))
    text = f'[auth.x]\nkind = "jwt"\njwks_file = "{path}"\nalgorithms = ["ES256"]\n{LISTENER}'
    auth = read(text).auth["x"]
    assert isinstance(auth, JwtConfig)
    assert [key.kid for key in auth.keys] == ["b"]
    assert mistakes(text.replace("ES256", "EdDSA")) == [
        "bad.toml:3: auth.x.jwks_file: only has keys for ES256, RS256, which algorithms does not name"
    ]


@pytest.mark.parametrize("files", ["", 'key_file = "k"\njwks_file = "s"\n'])
def test_jwt_needs_one_file(files: str) -> None:
    assert mistakes(f'[auth.x]\nkind = "jwt"\n{files}{LISTENER}') == [
        "bad.toml:1: auth.x: needs either key_file or jwks_file"
    ]


def test_a_bad_key_is_told_at_its_line_beside_everything_else(tmp_path: Path) -> None:
    path = private(tmp_path / "k", pem("P-384"))
    text = f'[auth.x]\nkind = "jwt"\nkey_file = "{path}"\nurl = "x"\n[auth.y]\nkind = "open"\nsecrets = []\n{LISTENER}x = 1\n'
    assert mistakes(text) == [
        f"bad.toml:3: auth.x.key_file: {path} holds a key that is none of: "
        "RSA for RS256, P-256 for ES256, Ed25519 for EdDSA",
        'bad.toml:4: auth.x.url: is of kind "http", and this is "jwt"',
        'bad.toml:7: auth.y.secrets: is of kind "static", and this is "open"',
        "bad.toml:12: listeners[0].x: unknown key",
    ]
