"""[backend]: what it says, and which mistakes in it have which words."""

from pathlib import Path

import pytest

from gatewayd.config.backend import BackendConfig
from gatewayd.config.show import dump
from gatewayd.config.values import Kinds, Secret
from gatewayd.core.rate import Rate, Seconds

from .fakes import LISTENER, mistakes, read

URL = 'url = "http://127.0.0.1:8000/gateway"\n'


def backend(more: str) -> BackendConfig:
    config = read(f"[backend]\n{more}{LISTENER}").backend
    assert config is not None
    return config


def wrong(more: str) -> list[str]:
    return mistakes(f"[backend]\n{more}{LISTENER}")


def test_without_the_table_there_is_none() -> None:
    assert read(LISTENER).backend is None


def test_everything_it_can_say() -> None:
    assert backend(
        URL + 'secret = "s"\ntimeout = "2s"\nmax_concurrent = 3\nmax_answer_bytes = 4\nlifecycle_batch = 5\n'
        'lifecycle_rate = "6/7s"\nlifecycle_queue = 8\nretry_min = "9s"\nretry_max = "10s"\nlifecycle = ["ended"]\n'
    ) == BackendConfig(
        url="http://127.0.0.1:8000/gateway", secret=Secret("s"), timeout=Seconds(2.0), max_concurrent=3,
        max_answer_bytes=4, lifecycle=Kinds(("ended",)), lifecycle_batch=5, lifecycle_rate=Rate(6, 7.0),
        lifecycle_queue=8, retry_min=Seconds(9.0), retry_max=Seconds(10.0),
    )  # fmt: skip
    assert backend('handlers = "my_bot.app:app"\n') == BackendConfig(handlers="my_bot.app:app")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("true", ("opened", "detached", "resumed", "ended")),
        ("false", ()),
        ("[]", ()),
        ('["ended", "opened", "ended"]', ("opened", "ended")),
    ],
)
def test_kinds_of_lifecycle_events(text: str, names: tuple[str, ...]) -> None:
    assert backend(URL + f"lifecycle = {text}\n").lifecycle.names == names


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('url = "ftp://host/x"', 'url: expected a URL such as "http://127.0.0.1:8000/gateway"'),
        ('url = "http://"', 'url: expected a URL such as "http://127.0.0.1:8000/gateway"'),
        ('url = "http://a:b/"', 'url: expected a URL such as "http://127.0.0.1:8000/gateway"'),
        ('url = "http://a/ b"', 'url: expected a URL such as "http://127.0.0.1:8000/gateway"'),
        (
            'url = "http://me:hunter2@a/"',
            "url: a URL is shown and logged: it must not hold a password",
        ),
        ('url = "http://a/#x"', "url: a fragment (#…) is never sent; leave it out"),
        ('handlers = "app"', "handlers: expected \"package.module:app\", got 'app'"),
        ('handlers = "a.b:c.d"', "handlers: expected \"package.module:app\", got 'a.b:c.d'"),
        ('url = "http://a"\nhandlers = "a:b"', "handlers: cannot stand beside url"),
        ('url = "http://a"\nsecret = ""', "secret: a secret must not be empty"),
        ('url = "http://a"\ntimeout = 0', "timeout: must be more than 0, got 0"),
        ('url = "http://a"\nmax_concurrent = -1', "max_concurrent: must be more than 0, got -1"),
        ('url = "http://a"\nlifecycle_rate = "0/1s"', "lifecycle_rate: the count and the period of a rate must be more than 0, got '0/1s'"),
        ('url = "http://a"\nlifecycle = "yes"', "lifecycle: expected true, false, or a list of: opened, detached, resumed, ended"),
        ('url = "http://a"\nlifecycle = ["end"]', "lifecycle: unknown kind 'end', expected some of: opened, detached, resumed, ended"),
        ('url = "http://a"\nretry_max = "100ms"', "retry_max: must not be less than retry_min, 0.5 s"),
        ('url = "http://a"\non_falure = 1', "on_falure: unknown key"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line_and_key(line: str, text: str) -> None:
    assert wrong(line + "\n") == [f"bad.toml:{2 + line.count(chr(10))}: backend.{text}"]


def test_one_of_url_and_handlers_is_needed() -> None:
    assert wrong("") == ["bad.toml:1: backend: needs url or handlers"]
    assert mistakes("backend = 5\n" + LISTENER) == ["bad.toml:1: backend: expected table, got number"]


def test_the_secret_may_stand_in_a_file_and_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    path.chmod(0o600)
    assert backend(URL + f'secret_file = "{path}"\n').secret == Secret("hunter2")
    text = dump(read(f'[backend]\n{URL}secret = "hunter2"\nlifecycle = ["ended"]\n{LISTENER}'))
    assert "hunter2" not in text
    assert 'secret = "********"' in text
    assert read(text).backend == BackendConfig(
        url="http://127.0.0.1:8000/gateway", secret=Secret("********"), lifecycle=Kinds(("ended",))
    )
