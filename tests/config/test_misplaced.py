"""An unknown key that another table knows is told where it belongs."""

import pytest

from .fakes import LISTENER, mistakes


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (
            "ad_hoc = true\n" + LISTENER,
            "an option of oxyl, rooms, dmod, discodo, utilbot, discord (under [listeners.options])",
        ),
        (LISTENER + "state_dir = ''", "a key of [gateway]"),
        (LISTENER + "[gateway]\nmax_clients = 5", "a key of [limits] and [[listeners]]"),
        (LISTENER + "[gateway.admin]", "a table of its own, [admin]"),
        (LISTENER + "[admin.listeners]", "a table of its own, [[listeners]]"),
        (LISTENER + "issuer = 'x'", "a key of [auth.NAME] of kind jwt"),
        (LISTENER + "secret = 'x'", "a key of [backend] or a key of [auth.NAME] of kind http"),
    ],
)
def test_a_key_of_another_table_is_told_its_place(text: str, place: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.endswith(f": unknown key here; it is {place}")
