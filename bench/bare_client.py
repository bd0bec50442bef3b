"""The yardstick: N linked clones with pyVmomi and nothing around it.

One login, eight threads that submit, one batched poll for all tasks. No guard,
no proof, no marks, no second run, no report. Reads GOVC_URL and
GOVC_TLS_CA_CERTS.

    python bench/bare_client.py PARENT SNAPSHOT NAME...
"""

import os
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlsplit

from pyVim.connect import SmartStubAdapter
from pyVmomi import vim, vmodl

THREADS = 8
POLL_SECONDS = 0.1


def connect() -> Any:  # noqa: ANN401 - pyVmomi has no types
    """Log in."""
    url = urlsplit(os.environ["GOVC_URL"])
    stub = SmartStubAdapter(
        host=url.hostname,
        port=url.port or 443,
        sslContext=ssl.create_default_context(cafile=os.environ["GOVC_TLS_CA_CERTS"]),
        poolSize=THREADS,
    )
    service: Any = vim.ServiceInstance("ServiceInstance", stub)
    user, password = unquote(url.username or ""), unquote(url.password or "")
    service.content.sessionManager.Login(user, password, None)
    return service


def clone_all(service: Any, path: str, snapshot: str, names: list[str]) -> None:  # noqa: ANN401
    """Make the clones, all from one snapshot, next to their parent."""
    parent = service.content.searchIndex.FindByInventoryPath(path)
    (root,) = (s for s in parent.snapshot.rootSnapshotList if s.name == snapshot)
    location = vim.vm.RelocateSpec(
        diskMoveType="createNewChildDiskBacking",
        pool=parent.resourcePool,
        datastore=parent.datastore[0],
    )
    spec = vim.vm.CloneSpec(location=location, snapshot=root.snapshot, powerOn=True, template=False)
    folder = parent.parent
    with ThreadPoolExecutor(THREADS) as threads:
        tasks = list(
            threads.map(
                lambda name: parent.CloneVM_Task(folder=folder, name=name, spec=spec), names
            )
        )
    wait_for(service.content.propertyCollector, tasks)


def wait_for(collector: Any, tasks: list[Any]) -> None:  # noqa: ANN401
    """Poll all tasks together until each has succeeded."""
    query = vmodl.query.PropertyCollector
    wanted = query.PropertySpec(type=vim.Task, pathSet=["info.state"])
    left = tasks
    while left:
        time.sleep(POLL_SECONDS)
        objects = [query.ObjectSpec(obj=task) for task in left]
        page = collector.RetrievePropertiesEx(
            [query.FilterSpec(propSet=[wanted], objectSet=objects)], query.RetrieveOptions()
        )
        states: dict[Any, str] = {}
        while page:
            states |= {seen.obj: seen.propSet[0].val for seen in page.objects}
            page = page.token and collector.ContinueRetrievePropertiesEx(page.token)
        if "error" in states.values():
            sys.exit("a clone failed")
        left = [task for task in left if states.get(task) != "success"]


def main() -> None:
    """Read the arguments and go."""
    path, snapshot, *names = sys.argv[1:]
    service = connect()
    try:
        clone_all(service, path, snapshot, names)
    finally:
        service.content.sessionManager.Logout()


if __name__ == "__main__":
    main()
