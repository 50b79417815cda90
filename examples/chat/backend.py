"""The application of a chat room: gatewayd holds the connections, this decides who comes in and what is said.
Everything is kept in memory. `CHAT_BIND`, `CHAT_API` and `CHAT_GATEWAY` say where things are; README.md, how to start.
"""

import hmac
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

BIND = os.environ.get("CHAT_BIND", "127.0.0.1:8000")
API = os.environ.get("CHAT_API", "http://127.0.0.1:7100")  # gatewayd's [api]
GATEWAY = os.environ.get("CHAT_GATEWAY", "")  # where the page connects to; default: port 7102 of the page's host
ROOM, SYSTEM = "lobby", "system"
T = TypeVar("T")


class Person(msgspec.Struct):
    name: str
    participant: str  # a token is good for this seat in this room, and for no other
    host: bool


class Login(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(pattern=r"\S", max_length=24)]
    key: str = ""


class Message(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(pattern=r"^[\w-]{8,64}$")]  # the page's own: sent twice, it is said once
    content: Annotated[str, msgspec.Meta(pattern=r"\S", max_length=2000)]


class Ban(msgspec.Struct):
    name: str


def kept(path: Path) -> str:
    """A secret that gatewayd reads as well, in a file for us alone; made when it is first asked for."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text().strip()


HOOK_SECRET, API_TOKEN, HOST_KEY = kept(Path("data/hook.secret")), kept(Path("data/api.token")), secrets.token_hex(8)
gatewayd = httpx.AsyncClient(base_url=API, headers={"Authorization": f"Bearer {API_TOKEN}"}, trust_env=False)
people: dict[str, Person] = {}  # by token
present: dict[str, str] = {}  # participant -> name
banned: set[str] = set()  # names


async def publish(event: str, data: dict[str, Any], key: str, room: str = ROOM) -> Any:
    """Tell everybody in the room; the same key again within five minutes tells nobody anything."""
    try:
        said = {"channel": f"room:{room}", "event": event, "data": data, "id": key}
        return (await gatewayd.post("/v1/publish", json=said)).raise_for_status().json()
    except httpx.HTTPStatusError as error:
        print("gatewayd refused an event:", error.response.text, file=sys.stderr)
        raise HTTPException(502, "the gateway refused this; the backend's output says why") from None
    except httpx.HTTPError as error:
        print("gatewayd does not answer at", API, repr(error), file=sys.stderr)
        raise HTTPException(503, "the gateway does not answer; try again, nothing is said twice") from None


async def say(author: str, content: str, key: str) -> Any:
    told = {"authorId": author, "content": content, "sentAt": round(time.time() * 1000)}
    return await publish("message_create", told, key)


async def read(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise HTTPException(400, str(error)) from None


async def from_gatewayd(request: Request) -> dict[str, Any]:
    """What gatewayd asks or tells; from nobody else, and nothing older than five minutes."""
    stamp, signature = (request.headers.get(f"X-Gatewayd-{name}", "") for name in ("Timestamp", "Signature"))
    signed = hmac.new(HOOK_SECRET.encode(), stamp.encode() + b"." + await request.body(), "sha256").hexdigest()
    fresh = stamp.isdecimal() and abs(time.time() - int(stamp)) < 300
    if not fresh or not hmac.compare_digest(f"v1={signed}".encode(), signature.encode()):
        print(request.url.path, "was asked without the signature of data/hook.secret, or too late", file=sys.stderr)
        raise HTTPException(400, "not signed by gatewayd, or too old")
    return await read(request, dict[str, Any])


async def auth(request: Request) -> Response:
    """gatewayd asks whether a token is good, and for whom. The metadata comes back with every lifecycle event."""
    asked = await from_gatewayd(request)
    person = people.get(asked["token"] or "")
    if person is None:
        return JSONResponse({"allow": False, "reason": "nobody has this token"})
    if (asked["subject"], asked["extra"].get("roomId")) != (person.participant, ROOM):
        return JSONResponse({"allow": False, "reason": "the token is somebody else's"})
    return JSONResponse({"allow": True, "metadata": {"name": person.name}})


async def hook(request: Request) -> Response:
    """gatewayd tells who came and who is gone, until we have taken it: all of this may come twice, and does no harm."""
    events = (await from_gatewayd(request))["events"]
    for event in events:
        if event["n"] == 1:
            present.clear()  # the daemon has just started
        if event["kind"] == "opened":
            present[event["metadata"]["participant"]] = event["metadata"]["name"]
        elif event["kind"] == "ended":
            present.pop(event["metadata"]["participant"], None)
    # Afterwards: gatewayd, when it stops, waits for this answer and takes no events any more.
    return Response(status_code=204, background=BackgroundTask(react, events))


async def react(events: list[dict[str, Any]]) -> None:
    for event in events:
        who, kind, key = event["metadata"], event["kind"], f"{event['session']}:{event['sequence']}"
        try:
            if kind in ("opened", "ended"):
                await say(SYSTEM, f"{who['name']} {'joined' if kind == 'opened' else 'left'}", key)
        except HTTPException:
            pass  # said on the error output; the list of people is right all the same


def logged_in(request: Request) -> Person:
    person = people.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
    if person is None:
        raise HTTPException(401, "you are not logged in any more")
    return person


async def login(request: Request) -> Response:
    asked = await read(request, Login)
    name = asked.name.strip()
    if not name.isprintable():
        raise HTTPException(400, "a name must not have invisible characters")
    if name.casefold() in banned:
        raise HTTPException(403, f"{name} is banned")
    if name.casefold() in {SYSTEM, *map(str.casefold, present.values())}:
        raise HTTPException(409, f"{name} is taken; a name is free again a minute after its owner was last seen")
    if asked.key and not hmac.compare_digest(asked.key.encode(), HOST_KEY.encode()):
        raise HTTPException(403, "this is not the host's key; the backend prints it when it starts")
    for token in [token for token, other in people.items() if other.name.casefold() == name.casefold()]:
        del people[token]  # whoever had this name has left
    token, person = secrets.token_urlsafe(24), Person(name, secrets.token_hex(8), bool(asked.key))
    people[token] = person
    gateway = GATEWAY or f"ws://{request.url.hostname}:7102/gateway"
    return JSONResponse({"token": token, "gateway": gateway, "room": ROOM, **msgspec.structs.asdict(person)})


async def who(request: Request) -> Response:
    logged_in(request)
    return JSONResponse({"people": sorted(present.values(), key=str.casefold)})


async def messages(request: Request) -> Response:
    person, message = logged_in(request), await read(request, Message)
    return JSONResponse(await say(person.name, message.content, f"{person.participant}:{message.id}"))


async def ban(request: Request) -> Response:
    host, asked = logged_in(request), await read(request, Ban)
    if not host.host:
        raise HTTPException(403, "only the host may do this")
    token = next((token for token, person in people.items() if person.name == asked.name), None)
    if token is None:
        raise HTTPException(404, f"nobody is called {asked.name}")
    told = {"userId": people[token].participant, "banned": True}
    await publish("participant_update", told, f"ban:{people[token].participant}")  # gatewayd sends them away
    del people[token]
    banned.add(asked.name.casefold())
    await say(SYSTEM, f"{asked.name} was banned by {host.name}", secrets.token_hex(8))
    return Response(status_code=204)


async def page(request: Request) -> Response:
    return FileResponse(Path(__file__).with_name("page.html"), headers={"Cache-Control": "no-cache"})


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


posts = [Route(f"/{do.__name__}", do, methods=["POST"]) for do in (auth, hook, login, messages, ban)]
app = Starlette(routes=[Route("/", page), Route("/who", who), *posts], exception_handlers={HTTPException: refused})

if __name__ == "__main__":
    print(f"http://{BIND}/  The host's key, for whoever may ban others: {HOST_KEY}", flush=True)
    address, _, port = BIND.rpartition(":")
    uvicorn.run(app, host=address.strip("[]"), port=int(port), log_level="warning")
