"""The REST forms that Discord's libraries ask before they connect: what they need, and what hostile callers get."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.auth.static import GRANTED, OpenAuth
from gatewayd.core.behaviour import Answer, Grant, Handshake
from gatewayd.core.close import Cause
from gatewayd.core.ports import Port
from gatewayd.protocols import utilbot
from gatewayd.protocols.discord_forms import (
    DAY,
    Forms,
    Options,
    Starts,
    bot_id,
    owner_of,
)
from tests.playbook import Playbook, run

BOT = "1234567890123456789"
URL = "ws://127.0.0.1:7106"


def token_of(bot: str) -> str:
    return base64.urlsafe_b64encode(bot.encode()).decode().rstrip("=") + ".Gabcde.s3cret"


TOKEN = token_of(BOT)
RIGHT = {"authorization": f"Bot {TOKEN}"}


class Judge:
    """Grants one token, and knows nothing while it is `away`: then it `allows` all, or nobody."""

    def __init__(self, token: str = TOKEN, *, away: bool = False, allows: bool = False) -> None:
        self.token = token
        self.away = away
        self.allows = allows

    async def verify(self, claim: Any) -> Grant:
        if self.away:
            return Grant(granted=self.allows, failure="timeout")
        return Grant(granted=claim.token == self.token, reason="wrong")


def book(auth: Any = None) -> Playbook:
    return Playbook(utilbot.PROTOCOL, auth=auth or Judge())


def port_with(**documents: Any) -> Port:
    port: Port = book().behaviour.port
    for key, value in documents.items():
        port.documents.put(key.replace("__", ":"), value)
    return port


def asked(path: str, headers: Any = RIGHT, method: str = "GET", *, talk: Playbook | None = None, **options: Any) -> Any:
    """The answer to a request: an `Answer`, or None where it is forwarded."""
    talk = talk or book()
    request = Handshake(unquote(path), {}, headers, "192.0.2.1", method, URL, path)
    return run(Forms(talk.behaviour.port, Options(**options)).answer(request))


def user_of(port: Port, options: Options, token: str) -> dict[str, Any]:
    forms = Forms(port, options)
    return forms.user(forms.bot(token, GRANTED))


def body_of(path: str, **more: Any) -> dict[str, Any]:
    got = asked(path, **more)
    assert (got.status, got.cause) == (200, None)
    body: dict[str, Any] = got.body
    return body


# --- tokens -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bot", ["0", "1", "12", "80351110224678912", "175928847299117063", BOT, "9223372036854775807"])
def test_the_id_of_a_bot_is_in_its_token(bot: str) -> None:
    assert bot_id(token_of(bot)) == bot
    assert owner_of(token_of(bot), GRANTED) == bot


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "s3cret", "s3cret.a.b", TOKEN.partition(".")[0], token_of("-1"), token_of("01"), token_of("1.0"),
        token_of("12345678901234567890"), token_of("٣"), token_of("1 "), token_of(""), "MTIzN.a.b", "MTI=.a.b", "MTI\n.a.b",
        "//8.a.b", "__8.a.b", "Μ" + TOKEN[1:], "\ud800.a.b", "A" * 1_000_000, "." * 1_000_000, "MTIz" * 1000 + ".a.b",
    ],
    ids=lambda token: ascii(token[:20]),
)  # fmt: skip
def test_a_token_of_another_shape_names_no_bot(token: str) -> None:
    assert bot_id(token) is None
    assert owner_of(token, GRANTED).startswith("token:")
    assert token not in owner_of(token, GRANTED) or len(token) < 2


@given(st.text(st.characters(exclude_categories=())))
def test_no_token_breaks_it(token: str) -> None:
    assert owner_of(token, GRANTED) == (bot_id(token) or owner_of(token, GRANTED))
    user_of(port_with(), Options(), token)


def test_a_bot_is_one_owner_and_each_shapeless_secret_another() -> None:
    assert owner_of(TOKEN, GRANTED) == owner_of(TOKEN + "x", GRANTED)
    assert (
        len({owner_of("a", GRANTED), owner_of("b", GRANTED), owner_of(token_of("1"), GRANTED), owner_of("1", GRANTED)})
        == 4
    )


# --- starts -------------------------------------------------------------------------------------------------------


def test_so_many_identifies_in_five_seconds() -> None:
    starts = Starts(2, 100)
    assert [starts.allow("a", now) for now in (0, 1, 4.9, 5, 5.5, 6)] == [True, True, False, True, False, True]
    assert starts.allow("b", 5)  # each bot by itself


def test_so_many_in_a_day() -> None:
    starts = Starts(10, 3)
    assert starts.limit("a", 0) == {"total": 3, "remaining": 3, "reset_after": 0, "max_concurrency": 10}
    assert [starts.allow("a", now) for now in (0, 100, 200, 300)] == [True, True, True, False]
    assert starts.limit("a", 1000.5) == {"total": 3, "remaining": 0, "reset_after": 85_399_500, "max_concurrency": 10}
    assert not starts.allow("a", DAY - 1)
    assert starts.limit("a", DAY)["remaining"] == 3
    assert starts.allow("a", DAY)
    assert starts.limit("a", DAY + 1)["remaining"] == 2


def test_owners_without_recent_starts_are_forgotten() -> None:
    starts = Starts(1, 10)
    for number in range(100):
        starts.allow(str(number), number)
    assert len(starts) == 100
    starts.allow("0", 1000)
    starts.allow("x", 98 + DAY)
    assert len(starts) == 3  # 0, 99 and x
    assert starts.limit("0", 99 + DAY)["remaining"] == 10
    assert starts.limit("99", 98.5 + DAY)["remaining"] == 9


def test_a_flood_of_owners_is_bounded() -> None:
    starts = Starts(1, 10, most=5)
    assert all(starts.allow(str(number), 0) for number in range(100))
    assert len(starts) == 5
    assert not starts.allow("99", 1)


def test_the_listeners_of_a_realm_count_together() -> None:
    talk = book()
    beside = Playbook(utilbot.PROTOCOL, beside=talk, listener="second")
    apart = Playbook(utilbot.PROTOCOL, beside=talk, listener="third", realm="apart")
    one, two, three = (Forms(each.behaviour.port, Options()).starts for each in (talk, beside, apart))
    assert one is two
    assert one is not three


# --- objects ------------------------------------------------------------------------------------------------------


def test_the_user_of_a_bot() -> None:
    user = user_of(port_with(), Options(), TOKEN)
    assert {name: user[name] for name in ("id", "username", "discriminator", "avatar", "bot", "flags", "mfa_enabled")} == {
        "id": BOT, "username": "bot", "discriminator": "0000", "avatar": None, "bot": True, "flags": 0,
        "mfa_enabled": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "document", "bot"),
    [
        ("", None, "1"), ("77", None, "77"), ({"id": 77}, None, "77"), ("77", {"id": "88"}, "88"), ("77", {"id": 88}, "88"),
        ("77", {"id": "x"}, "1"), ("", {"id": [1]}, "1"), ("", {"id": 10**300}, "1"), ("", {"id": -1}, "1"), ("77", ["no object"], "77"),
    ],
)  # fmt: skip
def test_the_id_where_no_token_tells_it(option: Any, document: Any, bot: str) -> None:
    port = port_with() if document is None else port_with(bot=document)
    assert user_of(port, Options(bot=option), "s3cret")["id"] == bot
    assert user_of(port, Options(bot=option), TOKEN)["id"] == BOT


def test_documents_say_more_than_the_option_and_the_one_of_this_bot_says_most() -> None:
    options = Options(bot={"username": "option", "avatar": "a", "flags": 1}, documents="d:")
    port = port_with(d__bot={"username": "any", "flags": 2})
    port.documents.put(f"d:bot:{BOT}", {"flags": 3, "id": "5"})
    user = user_of(port, options, TOKEN)
    assert (user["username"], user["avatar"], user["flags"], user["id"]) == ("any", "a", 3, BOT)
    port.documents.put(f"d:bot:{BOT}", "no object")
    assert user_of(port, options, TOKEN)["flags"] == 2


def test_the_application_of_a_bot() -> None:
    port = port_with()
    user = user_of(port, Options(bot={"username": "Echo"}), TOKEN)
    application = Forms(port, Options()).application(user)
    assert (application["id"], application["name"], application["bot"], application["flags"]) == (BOT, "Echo", user, 0)
    assert bytes.fromhex(application["verify_key"]) == bytes(32)
    needed = {"description", "icon", "bot_public", "bot_require_code_grant", "owner", "approximate_guild_count"}
    assert needed <= application.keys()
    assert application["owner"].items() >= {"id": "2", "username": "owner", "avatar": None, "bot": False}.items()


def test_documents_of_the_application() -> None:
    port = port_with(application={"name": "any", "owner": {"id": "9", "username": "me"}, "flags": 1, "id": "x"})
    port.documents.put(f"application:{BOT}", {"flags": 2})
    application = Forms(port, Options()).application(user_of(port, Options(), TOKEN))
    assert (application["name"], application["flags"], application["id"]) == ("any", 2, BOT)
    assert application["owner"].items() >= {"id": "9", "username": "me", "discriminator": "0000"}.items()
    port.documents.put(f"application:{BOT}", {"id": 123, "owner": None})
    application = Forms(port, Options()).application(user_of(port, Options(), TOKEN))
    assert (application["id"], application["owner"]["id"]) == ("123", "2")


# --- the answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["/api", "/api/v10"])
def test_the_forms(base: str) -> None:
    assert body_of(f"{base}/gateway", headers={}) == {"url": URL}
    assert body_of(f"{base}/gateway/bot") == {
        "url": URL,
        "shards": 1,
        "session_start_limit": {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 16},
    }
    assert body_of(f"{base}/users/@me")["id"] == BOT
    assert body_of(f"{base}/applications/@me") == body_of(f"{base}/oauth2/applications/@me")
    assert body_of(f"{base}/applications/@me", method="HEAD")["id"] == BOT


def test_what_is_left_of_the_starts_is_shown_to_their_bot_alone() -> None:
    talk = book(OpenAuth())
    Forms(talk.behaviour.port, Options(session_starts=5)).starts.allow(owner_of(TOKEN, GRANTED), talk.now)
    talk.advance(10)
    limit = body_of("/api/v10/gateway/bot", talk=talk)["session_start_limit"]
    assert (limit["total"], limit["remaining"], limit["reset_after"]) == (5, 4, 86_390_000)
    other = body_of("/api/v10/gateway/bot", headers={"authorization": "Bot x"}, talk=talk)["session_start_limit"]
    assert other["remaining"] == 5


@pytest.mark.parametrize(("document", "shards"), [({"shards": 4}, 4), ({"shards": 0}, 1), ({"shards": "4"}, 1), (7, 1)])
def test_a_document_says_how_many_shards(document: Any, shards: int) -> None:
    talk = book()
    talk.behaviour.port.documents.put("d:gateway", document)
    assert body_of("/api/v10/gateway/bot", talk=talk, documents="d:")["shards"] == shards


@pytest.mark.parametrize(
    ("option", "url"),
    [("", URL), ("wss://g.example/", "wss://g.example"), ("wss://g.example:8443/bots//", "wss://g.example:8443/bots")],
)
def test_the_url_is_one_to_append_a_query_to(option: str, url: str) -> None:
    assert Forms(port_with(), Options(resume_url=option)).url(URL) == url
    assert body_of("/api/v10/gateway", resume_url=option) == {"url": url}


PATHS = ["/gateway/bot", "/users/@me", "/applications/@me", "/oauth2/applications/@me", "/guilds/1"]
UNAUTHORIZED = Answer(401, {"message": "401: Unauthorized", "code": 0}, Cause.AUTH_FAILED)


@pytest.mark.parametrize("rest", ["", "http://127.0.0.1:8000"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "sent", [None, "", "Bot", "Bot ", "Bot wrong", TOKEN, f"Basic {TOKEN}", f"Bot  x{TOKEN}", f"Bot {TOKEN} x"]
)
def test_a_wrong_token_on_each_path(rest: str, path: str, sent: str | None) -> None:
    headers = {} if sent is None else {"authorization": sent}
    assert asked(f"/api/v10{path}", headers, rest=rest) == UNAUTHORIZED


@pytest.mark.parametrize("sent", [f"Bot {TOKEN}", f"bot {TOKEN}", f"Bot   {TOKEN} ", f"Bearer {TOKEN}"])
def test_how_the_token_may_be_sent(sent: str) -> None:
    assert body_of("/api/v10/users/@me", headers={"authorization": sent})["id"] == BOT


def test_the_auth_is_asked_with_the_bots_id_and_wrong_tokens_are_held_back() -> None:
    talk = book()
    assert asked("/api/v10/users/@me", talk=talk).status == 200
    assert asked("/api/v10/users/@me", {"authorization": "Bot wrong"}, talk=talk).status == 401
    claims = [(claim.kind, claim.token, claim.subject) for claim in talk.verified]
    assert claims == [("secret", TOKEN, BOT), ("secret", "wrong", None)]
    assert talk.held_back == ["192.0.2.1"]


def test_where_everybody_is_let_in_no_token_is_needed() -> None:
    assert body_of("/api/v10/users/@me", headers={}, talk=book(OpenAuth()))["id"] == "1"


def test_an_auth_that_fails_is_not_the_bots_fault() -> None:
    got = asked("/api/v10/users/@me", talk=book(Judge(away=True)))
    assert got == Answer(502, {"message": "502: Bad Gateway", "code": 0}, Cause.BACKEND_FAILED)
    assert body_of("/api/v10/users/@me", talk=book(Judge(away=True, allows=True)))["id"] == BOT


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/api/v10", "/api/v10/", "/gateway", "/users/@me", "/api/v10/guilds/1", "/api/vx/gateway",
             "/api/v10/gateway/", "/api/v10//gateway", "/api/v10/webhooks/1/t", "/API/v10/users/@me", "/api/v10/users/@me\u2028"],
)  # fmt: skip
def test_an_unknown_path(path: str) -> None:
    assert asked(path) == Answer(404, {"message": "404: Not Found", "code": 0}, Cause.NOT_ALLOWED)
    assert asked(path, rest="http://127.0.0.1:8000") is None


@pytest.mark.parametrize("path", ["/gateway", "/gateway/bot", "/users/@me"])
@pytest.mark.parametrize("version", ["0", "9", "11", "010"])
def test_an_unknown_version(version: str, path: str) -> None:
    for rest in ("", "http://127.0.0.1:8000"):
        got = asked(f"/api/v{version}{path}", rest=rest)
        assert got == Answer(400, {"message": "Invalid API version", "code": 50041}, Cause.WRONG_VERSION)


@pytest.mark.parametrize("path", ["/gateway", "/gateway/bot", "/users/@me", "/applications/@me"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method(method: str, path: str) -> None:
    path = f"/api/v10{path}"
    assert asked(path, method=method) == Answer(
        405, {"message": "405: Method Not Allowed", "code": 0}, Cause.NOT_ALLOWED
    )
    assert asked(path, method=method, rest="http://127.0.0.1:8000") is None  # `PATCH /users/@me` is a call like any
    assert asked(path, {}, method) == UNAUTHORIZED
    assert asked(path, {}, method, rest="http://127.0.0.1:8000") == UNAUTHORIZED


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
@pytest.mark.parametrize(
    "path", ["/webhooks/1/token", "/webhooks/1/token/messages/@original", "/interactions/1/token/callback"]
)
def test_paths_that_hold_a_token_themselves(path: str, method: str) -> None:
    assert asked(f"/api/v10{path}", {}, method, rest="http://127.0.0.1:8000") is None
    assert asked(f"/api/v10{path}", {}, method) == UNAUTHORIZED
    # One server takes an encoded slash for a slash, and another sees `/api/{version}/channels/{id}`.
    hidden = ("%2Fwebhooks%2F1/channels/1", "/webhooks%2f1%2ftoken", "/%77ebhooks/1/token")
    for other in (
        "/webhooks/1", "/webhooks/1/", "/webhooks//token", "/interactions", "/guilds/1/webhooks/1/token", *hidden,
    ):  # fmt: skip
        assert asked(f"/api/v10{other}", {}, method, rest="http://127.0.0.1:8000") == UNAUTHORIZED


@pytest.mark.parametrize(
    "options",
    [
        {"rest": "127.0.0.1:8000"}, {"rest": "http://a?b"}, {"rest_max_body": 0}, {"max_concurrency": 0}, {"session_starts": 0},
        {"bot": "echo"}, {"bot": 5.0}, {"bot": True}, {"bot": {"id": "x"}}, {"bot": ["1"]},
        {"resume_url": "g.example"}, {"resume_url": "https://g.example"}, {"resume_url": "ws://"}, {"resume_url": "ws://a:0"},
        {"resume_url": "ws://a:x"}, {"resume_url": "ws://u:p@a"}, {"resume_url": "ws://a?v=10"}, {"resume_url": "ws://a#b"}, {"resume_url": "ws://a b"},
    ],
    ids=repr,
)  # fmt: skip
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|must be|password|leave"):
        Options(**options)


def test_an_id_of_thousands_of_digits() -> None:
    with pytest.raises(ValueError, match="expected a bot's id"):
        Options(bot=10**5000)


@pytest.mark.parametrize(
    "options", [{"bot": {"username": "Echo"}}, {"bot": 5}, {"resume_url": "wss://g.example:8443/x"}]
)
def test_options_that_can_be(options: dict[str, Any]) -> None:
    assert Options(**options)
