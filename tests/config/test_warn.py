"""What is allowed and probably not meant: each warning, at its place, and a file without one."""

from pathlib import Path

import attrs
import pytest

from gatewayd.config.credentials import outside_the_unit
from gatewayd.config.load import load, parse
from gatewayd.config.model import Config

from .fakes import LISTENER, PROTOCOLS, mistakes, read, static

STATIC = '[auth.x]\nkind = "static"\n'


def listener(protocol: str = "utilbot", more: str = 'auth = "x"') -> str:
    return f'[[listeners]]\nname = "{protocol}"\nprotocol = "{protocol}"\nbind = "127.0.0.1:0"\n{more}\n'


def test_nothing_to_say() -> None:
    text = STATIC + 'secrets = ["s"]\n' + listener() + "[backend]\nurl = 'http://127.0.0.1'\nsecret = 's'\n"
    assert read(text).warnings == ()


def test_they_are_not_part_of_the_value() -> None:
    text = STATIC + "secrets = ['{}']\n" + listener()
    assert read(text.format("s")).listeners == read(text.format("change-me")).listeners
    assert attrs.evolve(read(text), warnings=("x",)) == read(text)


def test_an_auth_that_nobody_passes() -> None:
    said = (
        "bad.toml:8: warning: listeners[0].auth: no client can ever connect: {} asks for a secret, and [auth.x] has none; "
        "add secrets or secrets_file there"
    )
    text = STATIC + "users = { a = 'b' }\n"
    assert read(text + listener("oxyl")).warnings == (said.format("oxyl"),)
    assert read(text + listener("dmod")).warnings == ()  # basic access needs no secret
    assert read(text + "secrets = ['s']\n" + listener("oxyl")).warnings == ()
    assert read("[auth.x]\nkind = 'open'\n" + listener()).warnings == ()


def test_everyone_may_enter() -> None:
    text = '[[listeners]]\nname = "a"\nprotocol = "utilbot"\nbind = "[::]:1"\n'
    assert read(text).warnings == ("bad.toml:1: warning: listeners[0]: open to everyone who reaches [::]:1: set auth",)
    assert read(text.replace("[::]:1", "unix:/run/x")).warnings == ()


def test_an_api_without_tokens() -> None:
    (warning,) = read("[api]\nbind = '127.0.0.1:7100'\n" + LISTENER).warnings
    assert warning.startswith("bad.toml:1: warning: api: nobody can use it without tokens; add tokens")
    token = "tokens = [{ name = 'a', token = 'b', scopes = ['read'] }]\n"
    assert read("[api]\nbind = '127.0.0.1:7100'\n" + token + LISTENER).warnings == ()


def test_a_backend_that_cannot_tell_who_asks() -> None:
    (warning,) = read("[backend]\nurl = 'http://a'\n" + LISTENER).warnings
    assert warning.startswith("bad.toml:2: warning: backend.url: asked without a signature: set backend.secret")
    assert read("[backend]\nhandlers = 'a:b'\n" + LISTENER).warnings == ()


@pytest.mark.parametrize("secret", ["change-me", "Change-Me-too", "changeme", "CHANGE_ME", "MTAw.change-me"])
def test_a_secret_of_the_documentation(secret: str) -> None:
    text = STATIC + f"secrets = ['fine', '{secret}']\nusers = {{ a = '{secret}' }}\n" + listener()
    (warning,) = read(text).warnings  # once for the table
    assert warning.startswith("bad.toml:3: warning: auth.x.secrets[1]: the secret has change-me in it")


def test_a_secret_that_was_to_be_put_in() -> None:
    (warning,) = read(STATIC + "users = { a = 'x${FLEET}' }\n" + listener("dmod")).warnings
    assert warning.startswith("bad.toml:3: warning: auth.x.users.a: the secret holds ${, which is not expanded")


def test_a_placeholder_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("change-me\n")
    path.chmod(0o600)
    (warning,) = read(STATIC + f"secrets_file = '{path}'\n" + listener()).warnings
    assert "the secret has change-me in it" in warning


def loaded(tmp_path: Path, text: str, mode: int) -> Config:
    path = tmp_path / "a.toml"
    path.write_text(text)
    path.chmod(mode)
    return load(path, PROTOCOLS, environ={})


def test_secrets_that_others_can_read(tmp_path: Path) -> None:
    text = STATIC + "secrets = ['a', 'b']\n" + listener()
    (warning,) = loaded(tmp_path, text, 0o644).warnings
    assert (
        f"a.toml:3: warning: auth.x.secrets[0]: 2 secrets stand in a file that everyone can read: chmod o-r {tmp_path}"
        in (warning)
    )
    (warning,) = loaded(tmp_path, text.replace(", 'b'", ""), 0o644).warnings
    assert "a secret stands in a file" in warning
    assert loaded(tmp_path, text, 0o640).warnings == ()


def test_secrets_elsewhere_may_be_named_in_a_file_for_everyone(tmp_path: Path) -> None:
    secret = tmp_path / "s"
    secret.write_text("s\n")
    secret.chmod(0o600)
    token = f"[api]\nbind = '127.0.0.1:1'\ntokens = [{{ name = 'a', file = '{secret}', scopes = [] }}]\n"
    assert loaded(tmp_path, STATIC + f"secrets_file = '{secret}'\n{token}" + listener(), 0o644).warnings == ()


def test_a_group_that_is_not_there() -> None:
    (warning,) = read("[admin]\ngroup = 'no-such-group'\n" + LISTENER).warnings
    assert warning.startswith("bad.toml:2: warning: admin.group: there is no group 'no-such-group' here")
    assert read("[admin]\ngroup = 'root'\n" + LISTENER).warnings == ()


def test_a_state_dir_in_nothing(tmp_path: Path) -> None:
    (warning,) = read(f"[gateway]\nstate_dir = '{tmp_path}/a/b'\n" + LISTENER).warnings
    assert warning.startswith(f"bad.toml:2: warning: gateway.state_dir: its parent {tmp_path}/a is not there")
    assert read(f"[gateway]\nstate_dir = '{tmp_path}/a'\n" + LISTENER).warnings == ()
    (tmp_path / "a").touch()
    (warning,) = read(f"[gateway]\nstate_dir = '{tmp_path}/a'\n" + LISTENER).warnings
    assert warning.startswith("bad.toml:2: warning: gateway.state_dir: is not a directory")


def test_documents_of_oxyl_and_dmod() -> None:
    text = listener("oxyl", "") + listener("dmod", "")
    (warning,) = read(text).warnings
    assert warning.startswith("bad.toml:6: warning: listeners[1]: shares the documents prefix '' with listener oxyl")
    assert read(text + "[listeners.options]\ndocuments = 'dmod:'\n").warnings == ()


class TestCredentials:
    """Outside of the unit, what systemd gives to the service alone is not there, and that is no mistake."""

    TEXT = (
        "[api]\nbind = '127.0.0.1:2'\ntokens = [{ name = 'a', token = 'credential:t', scopes = [] }]\n"
        "[auth.x]\nkind = 'static'\nsecrets_file = 'credential:s'\n"
        "[auth.j]\nkind = 'jwt'\nkey_file = 'credential:j'\n"
        + listener("utilbot", "auth = 'x'\ntls_cert = 'credential:c'\ntls_key = 'credential:k'")
    )

    def read(self, text: str, unit: Path) -> Config:
        return parse(text, "bad.toml", PROTOCOLS, environ=outside_the_unit({}, str(unit)))

    def test_they_are_told(self, tmp_path: Path) -> None:
        said = self.read(self.TEXT, tmp_path).warnings
        assert [line.split(":")[1] for line in said] == ["3", "6", "9", "15", "16"]
        assert (
            "credential 't' is not checked: systemd gives it to the service alone; see that its unit has Load"
            in said[0]
        )

    def test_those_of_the_running_unit_are_read(self, tmp_path: Path) -> None:
        path = tmp_path / "s"
        path.write_text("hunter2\n")
        path.chmod(0o600)
        config = self.read(self.TEXT, tmp_path)
        assert len(config.warnings) == 4
        assert [secret.reveal() for secret in static(config).secrets] == ["hunter2"]

    def test_a_mistake_stays_one(self) -> None:
        with pytest.raises(Exception, match="is not the name of a credential"):
            self.read(self.TEXT.replace("credential:s", "credential:../s"), Path("/nowhere"))

    def test_the_daemon_needs_them(self) -> None:
        assert "needs $CREDENTIALS_DIRECTORY" in "".join(mistakes(self.TEXT))
        inside = {"CREDENTIALS_DIRECTORY": "/nowhere"}
        assert outside_the_unit(inside) is inside


def test_one_realm_with_two_kinds_of_auth() -> None:
    text = STATIC + "secrets = ['s']\n" + listener("oxyl", 'auth = "x"\nrealm = "r"') + listener("utilbot", "")
    assert read(text).warnings == ()
    (warning,) = read(text + 'realm = "r"\n').warnings
    assert warning == (
        "bad.toml:10: warning: listeners[1]: is in realm 'r' with listener oxyl, whose auth is of another kind (open "
        "here, static there): clients of the easier one reach those of the other; give one of them a realm of its own"
    )
    same = text + 'realm = "r"\nauth = "y"\n[auth.y]\nkind = "static"\nsecrets = ["t"]\n'
    assert read(same).warnings == ()


def test_one_secret_for_two_realms() -> None:
    auths = STATIC + "secrets = ['s', 't']\n[auth.y]\nkind = 'static'\nsecrets = ['u', '{}']\n"
    text = auths + listener("oxyl") + listener("utilbot", 'auth = "y"')
    assert read(text.format("v")).warnings == ()
    (warning,) = read(text.format("t")).warnings
    assert warning == (
        "bad.toml:16: warning: listeners[1].auth: a secret of [auth.y] also opens listener oxyl, in realm 'x': "
        "its holder can connect to both; give each realm secrets of its own"
    )
    assert read(text.format("t") + 'realm = "x"\n').warnings == ()
    one = STATIC + "secrets = ['s']\n" + listener("oxyl") + listener("utilbot", 'auth = "x"\nrealm = "z"')
    assert read(one).warnings == ()  # one auth in two realms is meant


def test_the_documents_of_another_realm_are_others() -> None:
    text = listener("oxyl", 'realm = "r"') + listener("dmod", 'realm = "{}"')
    assert read(text.format("q")).warnings == ()
    assert "shares the documents prefix" in read(text.format("r")).warnings[0]
