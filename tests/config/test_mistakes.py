"""What is refused, in which words, at which line; and that one mistake never hides another."""

from pathlib import Path

import pytest

from .fakes import LISTENER, mistakes

# Line 5 is the first after the shortest listener.
BASE = LISTENER.splitlines()


def without(key: str) -> str:
    return "\n".join(line for line in BASE if not line.startswith(key)) + "\n"


def test_the_sentence_of_the_interface() -> None:
    text = '[[listeners]]\nname = "a"\nprot = "utilbot"\nbind = "127.0.0.1:1"\n'
    assert mistakes(text) == [
        "bad.toml:1: listeners[0].protocol: this key is required and missing",
        'bad.toml:3: listeners[0].prot: unknown key, did you mean "protocol"?',
    ]


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    text = """\
sever = 1
[gateway]
node = 5
shutdown_grace = "soon"
[admin]
mode = "0999"
[limits]
max_clients = 0
outbox_age = -1
[auth.fleet]
kind = "statik"
secrets = "hunter2"
[[listeners]]
name = "a"
protocol = "utilbt"
bind = "127.0.0.1:99999"
auth = "fleeet"
heartbeat_interval = "-1s"
rate_limit = "many"
[[listeners]]
name = "a"
protocol = "rooms"
bind = "127.0.0.1:2"
heartbeat_tolerance = -1
tls_cert = "/dev/null/cert.pem"
[listeners.options]
ad_hoc = "yes"
pth = "/x"
[[listeners]]
name = "c"
bind = "127.0.0.1:2"
"""
    assert mistakes(text) == [
        "bad.toml:1: sever: unknown key",
        "bad.toml:3: gateway.node: expected string, got number 5",
        'bad.toml:4: gateway.shutdown_grace: expected a duration such as "30s", "500ms", "5m" or "1h", got \'soon\'',
        "bad.toml:6: admin.mode: expected an octal file mode in quotes, such as \"0660\", got '0999'",
        "bad.toml:8: limits.max_clients: must be more than 0, got 0",
        "bad.toml:9: limits.outbox_age: must be more than 0, got -1",
        'bad.toml:11: auth.fleet.kind: expected "open", "static", "jwt" or "http", got \'statik\', did you mean "static"?',
        "bad.toml:12: auth.fleet.secrets: expected array, got string",
        "bad.toml:15: listeners[0].protocol: unknown protocol 'utilbt', did you mean \"utilbot\"?",
        "bad.toml:16: listeners[0].bind: port 99999 is not between 0 and 65535",
        'bad.toml:17: listeners[0].auth: there is no [auth.fleeet], did you mean "fleet"?',
        "bad.toml:18: listeners[0].heartbeat_interval: must be more than 0, got -1",
        "bad.toml:19: listeners[0].rate_limit: expected a rate such as \"120/60s\", got 'many'",
        "bad.toml:21: listeners[1].name: duplicate name 'a', also of listeners[0]",
        "bad.toml:24: listeners[1].heartbeat_tolerance: must not be negative, got -1",
        "bad.toml:25: listeners[1].tls_cert: needs tls_key beside it",
        "bad.toml:25: listeners[1].tls_cert: '/dev/null/cert.pem' is not a file that this user can read",
        "bad.toml:27: listeners[1].options.ad_hoc: expected boolean (true or false), got string 'yes'",
        'bad.toml:28: listeners[1].options.pth: unknown key, did you mean "path"?',
        "bad.toml:29: listeners[2].protocol: this key is required and missing",
        "bad.toml:31: listeners[2].bind: duplicate bind '127.0.0.1:2', also of listeners[1]",
    ]


@pytest.mark.parametrize("key", ["name", "protocol", "bind"])
def test_keys_that_a_listener_needs(key: str) -> None:
    assert mistakes(without(key)) == [f"bad.toml:1: listeners[0].{key}: this key is required and missing"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('heartbeat = "of"', "heartbeat: expected one of 'off', 'lenient', 'strict', got string 'of'"),
        ("heartbeat = false", "heartbeat: expected one of 'off', 'lenient', 'strict', got boolean false"),
        ("heartbeat_interval = 0", "heartbeat_interval: must be more than 0, got 0"),
        ("heartbeat_interval = true", 'heartbeat_interval: expected a duration such as "30s", got boolean true'),
        ("heartbeat_interval = []", 'heartbeat_interval: expected a duration such as "30s", got array'),
        ("heartbeat_interval = nan", "heartbeat_interval: expected a finite number, got nan"),
        ("heartbeat_interval = -inf", "heartbeat_interval: expected a finite number, got -inf"),
        ("heartbeat_interval = 1e300", "heartbeat_interval: the number is too large"),
        ('heartbeat_interval = "9999h"', "heartbeat_interval: a duration has at most 366 days"),
        ("identify_timeout = 0", "identify_timeout: must be more than 0, got 0"),
        ("resume_window = -0.5", "resume_window: must not be negative, got -0.5"),
        ("resume_events = -1", "resume_events: must not be negative, got -1"),
        ("resume_bytes = 1.0", "resume_bytes: expected a whole number, got 1.0"),
        ("resume_bytes = true", "resume_bytes: expected number, got boolean true"),
        ("resume_bytes = 'abc'", "resume_bytes: expected number, got string 'abc'"),
        ("resume_bytes = " + "9" * 400, "resume_bytes: the number is too large"),
        ("max_clients = 2024-01-01", "max_clients: expected number, got date or time"),
        ("max_message_bytes = 0", "max_message_bytes: must be more than 0, got 0"),
        ("outbox_age = '0s'", "outbox_age: must be more than 0, got 0"),
        ("rate_limit = 5", "rate_limit: expected string, got number 5"),
        ("rate_limit = '0/5s'", "rate_limit: the count and the period of a rate must be more than 0, got '0/5s'"),
        ("origins = 'x'", "origins: expected array, got string"),
        ("origins = ['a.org']", "origins: expected origins such as \"https://example.org\", got 'a.org'"),
        ("origins = ['https://a/']", "origins: expected origins such as \"https://example.org\", got 'https://a/'"),
        ("trusted_proxies = ['x']", "trusted_proxies: expected IP addresses or networks, got 'x'"),
        ("trusted_proxies = [1]", "trusted_proxies[0]: expected string, got number 1"),
        ("tls_key = ''", "tls_key: needs tls_cert beside it"),
        ("reuse_port = 1", "reuse_port: expected boolean (true or false), got number 1"),
        ("auth = 'none'", "auth: there is no [auth.none]"),
        ("auth = 1", "auth: expected string, got number 1"),
        ("outbox_event = 1", 'outbox_event: unknown key, did you mean "outbox_events"?'),
        ("'wei\"rd key' = 1", r'"wei\"rd key": unknown key'),
        ('auth = "a\\u0000"', "auth: text must not contain a NUL character"),
        ("options = 1", "options: expected table, got number"),
        ("options.size = 3", "options.size: must be even"),
        ("options.level = 'mid'", "options.level: 'level' must be in ('low', 'high') (got 'mid')"),
        ("options.ratio = 'x'", "options.ratio: expected number, got string 'x'"),
        (
            "options.patience = 'x'",
            'options.patience: expected a duration such as "30s", "500ms", "5m" or "1h", got \'x\'',
        ),
        ("options.routes = 1", "options.routes: expected table, got number"),
        ("options.routes.X = {}", "options.routes.X.senders: this key is required and missing"),
        (
            "options.routes.X = { senders = [], deliver = 'none' }",
            "options.routes.X.deliver: expected one of 'one', 'all', got string 'none'",
        ),
        ("options = { ad_hoc = true, path = '/closed' }", "options: ad_hoc does not go with this path"),
    ],
)
def test_one_bad_key_of_a_listener(line: str, said: str) -> None:
    assert f"bad.toml:5: listeners[0].{said}" in mistakes(LISTENER + line)


def test_long_values_are_shown_cut() -> None:
    (said,) = mistakes(LISTENER + f"resume_bytes = '{'x' * 500}'")
    assert said.endswith(f"got string '{'x' * 37}...'")


@pytest.mark.parametrize("name", ["", "x" * 65, "a\\nb", "\\u0007"])
def test_names_are_printable(name: str) -> None:
    text = LISTENER.replace('name = "a"', f'name = "{name}"')
    assert mistakes(text) == ["bad.toml:2: listeners[0].name: expected a name of 1 to 64 printable characters"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway = 1", "1: gateway: expected table, got number"),
        ("auth = 1", "1: auth: expected tables such as [auth.NAME]"),
        ("auth.x = 1", "1: auth.x: expected table, got number"),
        ("[auth.x]", "1: auth.x.kind: this key is required and missing"),
        ('[auth.x]\nkind = "http"', "1: auth.x.url: this key is required and missing"),
        ('[auth.x]\nkind = "ldap"', '2: auth.x.kind: expected "open", "static", "jwt" or "http", got \'ldap\''),
        ("[auth.x]\nkind = ['jwt']", "2: auth.x.kind: expected string, got array"),
        ('[auth.x]\nkind = "static"\nsecrets = [""]', "3: auth.x.secrets[0]: a secret must not be empty"),
        ('[auth.x]\nkind = "static"\nsecrets_file = ""', "3: auth.x.secrets_file: must not be empty"),
        ("[admin]\nmode = 432", '2: admin.mode: expected an octal file mode in quotes, such as "0660", got 432'),
        ("[admin]\ngroup = ''", "2: admin.group: must not be empty"),
        ("[admin]\nsocket = ''", "2: admin.socket: expected the path of a Unix socket"),
        ("[api]", "1: api.bind: this key is required and missing"),
        ("[api]\nbind = 'a:1'\ntokens = [{}]", "3: api.tokens[0].token: this key is required and missing"),
        (
            "[api]\nbind = 'a:1'\ntokens = [\n{ name = 'a', token = 'x', scopes = ['raed'] }]",
            "4: api.tokens[0].scopes: unknown scope 'raed', expected some of: read, publish, admin",
        ),
        (
            "[api]\nbind = 'a:1'\ntokens = [{ name = 'a', token = 'x', file = 'y', scopes = [] }]",
            "3: api.tokens[0].file: cannot stand beside token",
        ),
        (
            "[api]\nbind = 'a:1'\ntokens = [{ name = 'a', token = 'x', scopes = [], realms = ['opn'] }]",
            "3: api.tokens[0].realms[0]: no listener is in realm 'opn', did you mean \"open\"?",
        ),
        (
            "[api]\nbind = 'a:1'\ntokens = [{ name = 'a', token = 'x', scopes = [], realms = ['open', 'x'] }]",
            "3: api.tokens[0].realms[1]: no listener is in realm 'x'; there are open",
        ),
        (
            "[api]\nbind = 'a:1'\ntokens = [{ name = 'a', token = 'x', scopes = [], realms = [] }]",
            "3: api.tokens[0].realms: expected names of realms; leave it out for a token that reaches all of them",
        ),
        ("[api]\nbind = '127.0.0.1:1'", "6: listeners[0].bind: duplicate bind '127.0.0.1:1', also of api"),
    ],
)
def test_one_bad_key_elsewhere(text: str, said: str) -> None:
    assert f"bad.toml:{said}" in mistakes(f"{text}\n{LISTENER}")


@pytest.mark.parametrize("bind", ["unix:/tmp/a.sock", "systemd:bots"])
def test_only_a_port_can_be_shared(bind: str) -> None:
    text = LISTENER.replace("127.0.0.1:1", bind) + "reuse_port = true\n"
    assert mistakes(text) == ["bad.toml:5: listeners[0].reuse_port: only a host:port can be shared; leave it out"]
    assert mistakes(LISTENER + "reuse_port = true\n") == []


def test_the_interval_is_longer_than_the_protocol_waits() -> None:
    text = LISTENER.replace("utilbot", "discodo") + 'heartbeat_interval = "90s"\nresume_bytes = -1\n'
    assert mistakes(text) == [
        "bad.toml:5: listeners[0].heartbeat_interval: longer than the 60s of silence that the protocol allows; "
        "set heartbeat_tolerance as well",
        "bad.toml:6: listeners[0].resume_bytes: must not be negative, got -1",
    ]


def test_missing_and_open_secret_files(tmp_path: Path) -> None:
    shared = tmp_path / "open"
    shared.write_text("hunter2")
    shared.chmod(0o644)
    text = f"""\
[api]
bind = "127.0.0.1:2"
tokens = [
    {{ name = "a", file = "{tmp_path}/missing", scopes = [] }},
    {{ name = "b", token = "credential:c", scopes = [] }},
]
[auth.x]
kind = "static"
secrets_file = "{shared}"
users = {{ "1" = "credential:.." }}
[auth.y]
kind = "static"
secrets_file = "{shared}"
{LISTENER}\
tls_cert = "credential:cert"
tls_key = "{tmp_path}/key.pem"
"""
    assert mistakes(text) == [
        f"bad.toml:4: api.tokens[0].file: cannot read {tmp_path}/missing: No such file or directory",
        "bad.toml:5: api.tokens[1].token: "
        "credential 'c' needs $CREDENTIALS_DIRECTORY, which systemd sets (LoadCredential=)",
        "bad.toml:10: auth.x.users.1: '..' is not the name of a credential",
        f"bad.toml:13: auth.y.secrets_file: {shared} is readable by everyone; chmod o-r it",
        "bad.toml:18: listeners[0].tls_cert: "
        "credential 'cert' needs $CREDENTIALS_DIRECTORY, which systemd sets (LoadCredential=)",
        f"bad.toml:19: listeners[0].tls_key: '{tmp_path}/key.pem' is not a file that this user can read",
    ]


def test_a_directory_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()
    text = LISTENER + f'tls_cert = "{tmp_path}"\ntls_key = "{tmp_path}/key.pem"\n'
    assert mistakes(text) == [f"bad.toml:5: listeners[0].tls_cert: '{tmp_path}' is not a file that this user can read"]


@pytest.mark.parametrize("gateway", ["", '[gateway]\nstate_dir = ""\n'])
def test_always_needs_a_journal(gateway: str) -> None:
    (mistake,) = mistakes(LISTENER + 'durability = "always"\n' + gateway)
    assert mistake == (
        "bad.toml:5: listeners[0].durability: nothing outlives the process without a journal; set state_dir under "
        '[gateway], or "none" here'
    )
    assert mistakes(LISTENER + 'durability = "always"\n[gateway]\nstate_dir = "/x"\n') == []


def test_a_durability_that_there_is_not() -> None:
    assert mistakes(LISTENER + 'durability = "sometimes"\n') == [
        "bad.toml:5: listeners[0].durability: expected one of: none, batched, always, got 'sometimes'"
    ]
