"""`spotisync simulator`: the simulator's own command line under our name."""

import sys

import typer


def simulator(context: typer.Context) -> None:
    from spotisync.simulator.__main__ import main

    sys.argv = ["spotisync simulator", *context.args]
    main()
