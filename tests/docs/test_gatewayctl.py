"""What docs/gatewayctl.md and the help of `show` say of a session is what `show` prints."""

from __future__ import annotations

import io

from docs.blocks import DOCS
from gatewayd.admin import views
from gatewayd.ctl.parser import SHOWN
from gatewayd.ctl.tables import Screen
from gatewayd.ctl.views import session as show
from gatewayd.protocols.registry import PROTOCOLS
from tests.playbook import Person, Playbook

SECTION = (DOCS / "gatewayctl.md").read_text().partition("## Reading `show`")[2]
EXAMPLE = SECTION.partition("```\n")[2].partition("```")[0]


def connected(book: Playbook) -> Person:
    person = book.connect()
    person.say({"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "my-bot"}})
    return person


def test_the_example_is_what_show_prints() -> None:
    book = Playbook(PROTOCOLS["utilbot"], resume_events=3)
    bot = connected(book)
    bot.leave()
    for number in range(5):
        book.publish("user:my-bot", "E", number)
    screen = io.StringIO()
    show(Screen(screen, None, colour=False), views.session(bot.session, book.now, whole=True))
    printed = dict(line.split(None, 1) for line in screen.getvalue().splitlines())
    assert EXAMPLE
    for line in EXAMPLE.splitlines():
        name, value = line.split()
        assert printed[name].strip() == value, name
    bot = connected(book)
    view = views.session(bot.session, book.now, whole=True)
    after = {name: view[name] for name in ("given", "written", "delivered", "lost", "gaps")}
    assert after == {"given": 5, "written": 5, "delivered": 3, "lost": 2, "gaps": {}}


def test_every_word_that_the_help_explains_is_shown() -> None:
    bot = connected(Playbook(PROTOCOLS["utilbot"]))
    assert set(SHOWN) <= set(views.session(bot.session, 0.0, whole=True))
