"""Names for the strings that identify things, so that they cannot be mixed up."""

from typing import NewType

VmId = NewType("VmId", str)
"""A VM at its endpoint: on vSphere its managed object id (``vm-42``)."""

SnapshotId = NewType("SnapshotId", str)
"""A snapshot at its endpoint: on vSphere its managed object id (``snapshot-7``)."""

StoreId = NewType("StoreId", str)
"""A place that holds disk files: on vSphere a datastore's managed object id."""

FolderId = NewType("FolderId", str)
"""An inventory folder at its endpoint."""

JobId = NewType("JobId", str)
"""A long call that can be waited for: on vSphere a task's managed object id."""
