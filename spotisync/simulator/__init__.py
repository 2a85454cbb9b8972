"""A simulator of Spotify: the Web API, the accounts service, and libraries generated from a seed.

It imports nothing else of spotisync. `python -m spotisync.simulator --help` runs it in a process, `start()` in a thread
of this process; `Control(url)` steers either.
"""

from spotisync.simulator.control import Control
from spotisync.simulator.http.faults import Fault
from spotisync.simulator.server import Server, start
from spotisync.simulator.settings import SimulatorSettings
from spotisync.simulator.world.world import World

__all__ = ["Control", "Fault", "Server", "SimulatorSettings", "World", "start"]
