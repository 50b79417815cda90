"""What a behaviour sees of the node: its own realm, and in a service's channels its own protocol alone."""

from __future__ import annotations

from gatewayd.core.close import Cause
from gatewayd.protocols import oxyl, utilbot
from tests.hub.test_hub import book, ready
from tests.hub.test_realms import bot, events, service
from tests.playbook import Playbook


def test_a_services_channel_is_narrowed_to_its_protocol_and_others_are_not() -> None:
    fleet = Playbook(oxyl.PROTOCOL)
    bots = Playbook(utilbot.PROTOCOL, beside=fleet, listener="bots")
    worker, other = service(fleet, "commands"), bot(bots, "x", "commands")
    for person in (worker, other):
        person.heard()
        fleet.hub.subscribe(person.session, "news")
    port = fleet.behaviour.port
    assert port.subscribers("service:commands") == [worker.session]
    assert port.subscribers("news") == [worker.session, other.session]
    assert port.publish("service:commands", "E", 1).delivered == 1
    assert port.relay("service:commands", "E", 2).delivered == 1
    assert port.publish("news", "E", 3).delivered == 2
    assert port.publish("news", "E", 4, besides=worker.session).delivered == 1
    assert ([data for _, data in events(worker)], [data for _, data in events(other)]) == ([1, 2, 3], [3, 4])


def test_the_newest_session_of_an_identity_of_this_protocol_in_this_realm() -> None:
    talk = book()
    other = Playbook(utilbot.PROTOCOL, beside=talk, listener="other", realm="other")
    session = ready(talk).session
    assert talk.behaviour.port.find("a") is session
    assert talk.behaviour.port.find("b") is None
    assert other.behaviour.port.find("a") is None


def test_what_is_called_later_and_what_ends() -> None:
    talk = book()
    port, said = talk.behaviour.port, list[float]()
    person = ready(talk)
    start = port.now()
    port.later(2.0, lambda: said.append(port.now())).cancel()
    port.later(3.0, lambda: said.append(port.now()))
    port.later(4.0, lambda: port.end(person.session, Cause.KICKED))
    talk.advance(5)
    assert said == [start + 3.0]
    assert person.closed == (4008, "kicked")
