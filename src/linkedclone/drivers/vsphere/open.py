"""How an endpoint becomes a driver: greeted first, while the rest is imported."""

from collections.abc import Callable
from functools import partial

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.connection.greeting import Greeting


def load_vsphere(endpoint: Endpoint) -> Callable[[Endpoint], Driver]:
    """Greet an endpoint and import the rest meanwhile; return what logs in there."""
    greeting = Greeting(endpoint)
    from linkedclone.drivers.vsphere.login import open_vsphere

    return partial(open_vsphere, greeting=greeting)
