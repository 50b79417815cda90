"""What each verb asks the daemon and prints; every failure on the way becomes a sentence and an exit code."""

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from gatewayd.ctl import data, views
from gatewayd.ctl.admin_socket import Unreachable, find_socket
from gatewayd.ctl.client import NDJSON, Answer, Client, RequestRefused
from gatewayd.ctl.hints import choices, nobody, unheard
from gatewayd.ctl.limits import CtlLimits
from gatewayd.ctl.parser import FILTERS
from gatewayd.ctl.sessions import sessions as sessions_view
from gatewayd.ctl.status import status as status_view
from gatewayd.ctl.tables import Screen, clean, json_value, properties, screen

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3


class Call(NamedTuple):
    """One use of a verb: its arguments, whom to ask and where to print."""

    args: Namespace
    client: Client
    out: Screen
    limits: CtlLimits

    def tell(self, answer: Answer, view: Callable[[Screen, Any], None]) -> int:
        """Print an answer: for programs as it came, for people by `view`."""
        if not self.args.json:
            view(self.out, answer.value)
        elif answer.text:
            json_value(self.out, answer.text, answer.value)
        return DONE

    def say(self, answer: Answer, sentence: str) -> int:
        """Print an answer that means no more than `sentence`."""
        return self.tell(answer, lambda out, _value: out.line(sentence))


def perform(args: Namespace, limits: CtlLimits = CtlLimits()) -> int:
    """Do the verb and return its exit code."""
    client = Client(find_socket(args.socket, os.environ), _timeout(args, limits))
    call = Call(args, client, screen(sys.stdout, os.environ), limits)
    try:
        return VERBS[args.verb](call)
    except data.UsageError as error:
        complain(str(error))
        return USAGE
    except Unreachable as error:
        for line in str(error).splitlines():
            complain(line)
        return UNREACHABLE
    except RequestRefused as error:
        if args.json and error.answer and error.answer.text:
            json_value(call.out, *error.answer)
        complain(f"{error}{choices(error)}")
        return REFUSED
    except RecursionError:
        complain("the answer is nested too deeply to be shown; try --json")
        return REFUSED


def _timeout(args: Namespace, limits: CtlLimits) -> float:
    """For an answer; where the daemon is to wait for something first, the usual time after that."""
    if not args.timeout:
        return limits.timeout
    waits = getattr(args, "wait", None) is not None
    return float(args.timeout) + (limits.timeout if waits else 0.0)


def complain(sentence: str) -> None:
    print(f"gatewayctl: {clean(sentence)}", file=sys.stderr)


def status(call: Call) -> int:
    answer = call.client.ask("GET", "status")
    rows: list[Any] = []
    if not call.args.json:
        with contextlib.suppress(RequestRefused):  # the figures are worth showing without the listeners
            rows = views.records(call.client.ask("GET", "listeners").value, "listeners")
    return call.tell(answer, partial(status_view, listeners=rows))


def listeners(call: Call) -> int:
    answer = call.client.ask("GET", "listeners")
    return call.tell(answer, lambda out, value: views.listeners(out, views.records(value, "listeners")))


def services(call: Call) -> int:
    answer = call.client.ask("GET", "services", query=_realm(call))
    return call.tell(answer, lambda out, value: views.services(out, views.records(value, "services")))


def sessions(call: Call) -> int:
    query = {name: given for name in (*FILTERS, "sort") if (given := getattr(call.args, name)) is not None}
    found = _list(call, "sessions", query, call.limits.page, partial(sessions_view, wanted=call.args.columns))
    if call.args.channel and not found and not call.args.json:
        complain(nobody(call.args.channel))
    return DONE


def show(call: Call) -> int:
    return call.tell(call.client.ask("GET", "sessions", call.args.id), views.session)


def kick(call: Call) -> int:
    query = {"reason": call.args.reason} if call.args.reason else None
    answer = call.client.ask("DELETE", "sessions", call.args.id, query=query)
    return call.say(answer, f"kicked {clean(str(views.dig(answer.value, 'ended') or call.args.id))}")


def channels(call: Call) -> int:
    if call.args.name is None:
        _list(call, "channels", _realm(call), None, views.channels)
        return DONE
    answer = call.client.ask("GET", "channels", call.args.name, query=_realm(call))
    if not call.args.json and not views.records(answer.value, "subscribers"):
        complain(nobody(call.args.name))
    return call.tell(answer, lambda out, value: sessions_view(out, views.records(value, "subscribers")))


def _list(
    call: Call, key: str, query: dict[str, str], limit: int | None, view: Callable[[Screen, list[Any]], None]
) -> list[Any]:
    """Ask for a list, or with --all for every page of it, and say on stderr when there is more; what was shown."""
    args = call.args
    limit = args.limit or (call.limits.page_of_all if args.all else limit)
    if limit is not None:
        query["limit"] = str(limit)
    if args.cursor is not None:
        query["cursor"] = args.cursor
    answer = call.client.ask("GET", key, query=query)
    if args.all and views.dig(answer.value, "cursor"):
        answer = _every_page(call, key, query, answer)
    call.tell(answer, lambda out, value: view(out, views.records(value, key)))
    cursor = views.dig(answer.value, "cursor")
    if cursor and not args.json:
        complain(f"there are more; go on with --cursor {cursor}, or take --all")
    return views.records(answer.value, key)


def _every_page(call: Call, key: str, query: dict[str, str], first: Answer) -> Answer:
    """One answer of the same shape, with the items of all pages."""
    whole = dict(first.value)
    items: list[Any] = []
    page = first.value
    while True:
        found = views.dig(page, key)
        items += found if isinstance(found, list) else []
        cursor = views.dig(page, "cursor")
        if not cursor:
            break
        if cursor == query.get("cursor"):
            raise RequestRefused("the daemon answered with the same cursor twice; the list would never end")
        query["cursor"] = str(cursor)
        page = call.client.ask("GET", key, query=query).value
    whole |= {key: items, "cursor": None}
    return Answer(data.encode(whole).decode(), whole)


def publish(call: Call) -> int:
    args = call.args
    if args.ndjson is not None:
        if args.channel is not None:
            raise data.UsageError("publish takes CHANNEL EVENT [JSON|-], or --ndjson FILE, not both")
        if args.id is not None or args.realm is not None:
            raise data.UsageError("with --ndjson, each line has its own id and realm")
        return _publish_lines(call)
    if args.event is None:
        raise data.UsageError("publish takes CHANNEL EVENT [JSON|-], or --ndjson FILE")
    event = {"channel": args.channel, "event": args.event, "data": data.argument(args.data)}
    event |= {name: given for name in ("id", "realm") if (given := getattr(args, name)) is not None}
    answer = call.client.ask("POST", "publish", query=_wait(call), body=data.encode(event))
    if not args.json and (hint := unheard(args.channel, answer.value)):
        complain(hint)
    return _counted(call, answer)


def _wait(call: Call) -> dict[str, str]:
    """What the daemon is to wait for."""
    args = call.args
    if args.wait is None:
        return {}
    if args.timeout is None:
        return {"wait": args.wait}
    return {"wait": args.wait, "timeout": f"{args.timeout:g}s"}


def _publish_lines(call: Call) -> int:
    """Send the batches; the answers to all of them are one list, as if they had been one."""
    query = _wait(call)
    results: list[Any] = []
    totals: dict[str, int] = {}
    published = refused = 0
    try:
        for batch in data.batches(call.args.ndjson, call.limits.piece_bytes):
            answer = call.client.ask("POST", "publish", query=query, body=batch.body, kind=NDJSON)
            said = answer.value if isinstance(answer.value, list) else [answer.value]
            for number, result in zip(batch.numbers, said, strict=False):
                if views.dig(result, "error") is None:
                    published += 1
                    _add(totals, result)
                    continue
                refused += 1
                if refused <= call.limits.refusals_shown:
                    complain(f"line {number} was refused: {views.dig(result, 'error', 'message')}")
            if call.args.json:
                results += said
    except (data.UsageError, RequestRefused, Unreachable):
        if published or refused:
            complain(f"stopped; {published} events of earlier lines were published")
        raise
    if call.args.json:
        json_value(call.out, data.encode(results).decode(), results)
    else:
        call.out.line(views.counts({"published": published, "refused": refused, **totals}))
    return REFUSED if refused else DONE


def _add(totals: dict[str, int], result: Any) -> None:
    for key, amount in result.items() if isinstance(result, dict) else ():
        if key == "reasons":
            _add(totals, amount)
        elif isinstance(amount, int) and not isinstance(amount, bool) and key != "number":
            totals[key] = totals.get(key, 0) + amount


def notify(call: Call) -> int:
    notification = {"user": call.args.user, "data": data.argument(call.args.data), **_realm(call)}
    return _counted(call, call.client.ask("POST", "notify", body=data.encode(notification)))


def _realm(call: Call) -> dict[str, str]:
    """As a query, or as part of a body."""
    return {} if call.args.realm is None else {"realm": call.args.realm}


def _counted(call: Call, answer: Answer) -> int:
    return call.tell(answer, lambda out, value: out.line("done" if value is None else views.counts(value)))


def doc(call: Call) -> int:
    key, query = call.args.key, _realm(call)
    match call.args.action:
        case "set":
            body = data.encode(data.argument(call.args.data))
            return call.say(call.client.ask("PUT", "documents", key, query=query, body=body), f"stored {clean(key)}")
        case "delete":
            return call.say(call.client.ask("DELETE", "documents", key, query=query), f"deleted {clean(key)}")
        case _:
            answer = call.client.ask("GET", "documents", key, query=query)
            return call.tell(answer, lambda out, value: json_value(out, answer.text, value))


def room(call: Call) -> int:
    name, query = call.args.id, _realm(call)
    match call.args.action:
        case "create":
            state = data.argument(call.args.data)
            if not isinstance(state, dict):
                raise data.UsageError("a room's state is a JSON object")
            body = data.encode(state | {"id": name} | query)
            return call.say(call.client.ask("POST", "rooms", body=body), f"created {clean(name)}")
        case "set":
            body = data.encode(data.changes(call.args.data))
            answer = call.client.ask("PUT", "rooms", name, query=query, body=body)
            return call.say(answer, f"changed {clean(name)}")
        case "close":
            return call.say(call.client.ask("DELETE", "rooms", name, query=query), f"closed {clean(name)}")
        case _:
            answer = call.client.ask("GET", "rooms", name, query=query)
            return call.tell(answer, lambda out, value: properties(out, views.flatten(value)))


VERBS: dict[str, Callable[[Call], int]] = {
    "status": status,
    "listeners": listeners,
    "services": services,
    "sessions": sessions,
    "show": show,
    "kick": kick,
    "channels": channels,
    "publish": publish,
    "notify": notify,
    "doc": doc,
    "room": room,
}
