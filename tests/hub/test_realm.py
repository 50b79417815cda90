"""One realm: what its listeners share, whether it keeps anything, and who speaks and hears in it."""

from __future__ import annotations

from gatewayd.core.ports import Resource
from gatewayd.core.record import Table
from gatewayd.hub.realm import Realm
from gatewayd.protocols import dmod, oxyl, utilbot
from tests.hub.test_hub import book, ready
from tests.playbook import Playbook


def keeps(realm: Realm) -> bool:
    return any(realm.rows()) or any(realm.waiting)


def test_whether_it_keeps_anything_without_a_session() -> None:
    talk = book()
    realm = talk.realm
    ready(talk)
    assert keeps(realm) is False
    realm.documents.put("k", 1)
    assert keeps(realm) is True
    assert [(table, key) for table, key, _ in realm.rows()] == [(Table.DOCUMENTS, ("main", "k"))]
    realm.documents.delete("k")
    talk.hub.publish(realm, "service:nobody", "E", 1, one=True)
    assert keeps(realm) is True


def test_a_resource_is_kept_in_one_place_whoever_uses_it() -> None:
    talk = Playbook(dmod.PROTOCOL)
    Playbook(utilbot.PROTOCOL, beside=talk, listener="bots")
    assert talk.realm.uses(Resource.NOTIFICATIONS)
    assert not talk.realm.uses(Resource.ROOMS)
    assert talk.realm.kept[Resource.NOTIFICATIONS] is talk.realm.notifications
    assert book().realm.uses(Resource.NOTIFICATIONS) is False


def test_one_listener_of_each_protocol_speaks_on_a_channel_and_the_one_it_names() -> None:
    talk = Playbook(utilbot.PROTOCOL, listener="one")
    two = Playbook(utilbot.PROTOCOL, beside=talk, listener="two")
    fleet = Playbook(oxyl.PROTOCOL, beside=talk, listener="fleet")
    concerned = talk.realm.concerned
    assert set(concerned("service:x", None)) == {talk.behaviour, fleet.behaviour}
    assert concerned("listener:two", None) == (two.behaviour,)
    session = ready(two).session
    assert concerned(f"session:{session.id}", session) == (two.behaviour,)
    assert concerned("nonsense", None) == ()


def test_who_could_be_the_one_receiver() -> None:
    talk = book()
    free, busy, away = (ready(talk, name) for name in "abc")
    busy.reads = False
    talk.publish("user:b", "E", 1)
    away.leave()
    assert talk.realm.present("service:bot", "E") == [(0, free.session), (1, busy.session)]
    assert talk.realm.present("service:bot", "E", "oxyl") == []
    assert talk.realm.present("service:nobody", "E") == []
    assert talk.realm.receivers("service:bot", "E", 1, protocol="oxyl") == []
