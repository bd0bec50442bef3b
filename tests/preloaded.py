"""What the server of ``tests/command.py`` imports before it forks: everything."""

import gc

from tests.command import preload

preload()
gc.collect()
gc.freeze()  # what is there already is looked at by no process that is forked
