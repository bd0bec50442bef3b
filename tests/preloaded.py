"""What the server of ``tests/command.py`` imports before it forks: everything."""

import gc
from importlib import import_module

from tests.command import preload

preload()
for name in ("tests.local.victim", "tests.local.crowd"):  # what others than commands begin with
    import_module(name)
gc.collect()
gc.freeze()  # what is there already is looked at by no process that is forked
