"""Who answers: auth and commands, over HTTP, in this process, or built in.

An application that runs inside the daemon needs no more than these names.
"""

from gatewayd.backend.answer import Answer, Said
from gatewayd.backend.app import App
from gatewayd.backend.request import Caller, Entry
from gatewayd.core.ports import NoSuchRealm, SeveralRealms

__all__ = ["Answer", "App", "Caller", "Entry", "NoSuchRealm", "Said", "SeveralRealms"]
