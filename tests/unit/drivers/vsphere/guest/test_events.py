"""What events of customizations come to, and how they are asked for."""

import pytest
from pyVmomi import VmomiSupport, vim

from linkedclone.drivers.vsphere.guest.events import build_filter, read_news
from linkedclone.model.vm import CustomizationNews, CustomizationStatus

RUNNING, SUCCEEDED = CustomizationStatus.RUNNING, CustomizationStatus.SUCCEEDED
FAILED = CustomizationStatus.FAILED

FAILURES = [
    "CustomizationFailed",
    "CustomizationUnknownFailure",
    "CustomizationLinuxIdentityFailed",
    "CustomizationNetworkSetupFailed",
    "CustomizationSysprepFailed",
]


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_quotes_the_server(kind: str) -> None:
    event = getattr(vim.event, kind)(fullFormattedMessage="  as it\nis ", logLocation="/log")
    assert read_news(event) == CustomizationNews(
        status=FAILED, event=kind, text="  as it\nis ", log="/log"
    )


def test_what_goes_well_needs_no_words() -> None:
    started = vim.event.CustomizationStartedEvent(fullFormattedMessage="started")
    done = vim.event.CustomizationSucceeded(fullFormattedMessage="done")
    assert read_news(started) == CustomizationNews(
        status=RUNNING, event="CustomizationStartedEvent"
    )
    assert read_news(done) == CustomizationNews(status=SUCCEEDED, event="CustomizationSucceeded")


def test_every_kind_that_the_api_knows_is_asked_for() -> None:
    known = {
        one._wsdlName
        for one in VmomiSupport.GetWsdlTypes()
        if isinstance(one, type) and issubclass(one, vim.event.CustomizationEvent)
    }
    asked = set(build_filter(vim.Folder("group-d1", None), None).eventTypeId)
    assert asked == known - {"CustomizationEvent"}
    assert len(known) > 5
