"""A simulator of Spotify: the Web API, the accounts service, and libraries that follow from a seed.

It imports nothing of the rest. `python -m spotisync.simulator --help` runs it as its own process, `start()` in a thread
of this one; `Control(url)` steers either.
"""

from spotisync.simulator.control import Control
from spotisync.simulator.http.faults import Fault
from spotisync.simulator.server import Server, start
from spotisync.simulator.settings import Settings
from spotisync.simulator.world.world import World

__all__ = ["Control", "Fault", "Server", "Settings", "World", "start"]
