"""Logging in, being refused, being thrown out, and leaving."""

import io
import traceback
from dataclasses import replace

import pytest

from linkedclone.config.endpoint import Tls
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.features import require, require_service
from linkedclone.drivers.registry import open_driver
from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    CertificateError,
    EndpointError,
    HypervisorError,
    InputError,
    LinkedCloneError,
    UnsupportedError,
)
from linkedclone.model.plan import CreateFolder
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import diagnose, find, set_power
from tests.simulator import PASSWORD, Simulator
from tests.vsphere.acts import PARENT, Start, opened

WRONG = "sesame-9f3c"


def everything_of(error: BaseException) -> str:
    """Return all that a debugger or a log could show of an error, local variables included."""
    text = io.StringIO()
    seen: BaseException | None = error
    while seen is not None:
        frames = traceback.walk_tb(seen.__traceback__)
        shown = traceback.StackSummary.extract(frames, capture_locals=True)
        text.writelines(shown.format())
        text.write(repr(seen))
        seen = seen.__cause__ or seen.__context__
    return text.getvalue()


def test_one_connection_costs_one_read_and_one_login(simulator: Simulator) -> None:
    with opened(simulator) as driver:
        identity = driver.identify()
    assert simulator.calls() == {"RetrieveServiceContent": 1, "Login": 1, "Logout": 1}
    assert identity.instance
    assert identity.address == f"{simulator.host}:{simulator.port}"


def test_a_wrong_password_is_reported_and_never_shown(simulator: Simulator) -> None:
    with pytest.raises(AuthenticationError) as caught:
        open_driver(simulator.endpoint(password=WRONG))
    assert simulator.user in caught.value.brief
    assert caught.value.details
    assert WRONG not in everything_of(caught.value)


@pytest.mark.parametrize("character", ["\0", "\x0b", "\x1b", "\uffff"])
def test_what_xml_cannot_hold_is_refused_before_it_is_sent(
    simulator: Simulator, character: str
) -> None:
    with pytest.raises(InputError, match="a control character") as caught:
        open_driver(simulator.endpoint(password=f"{WRONG}{character}"))
    assert WRONG not in f"{caught.value}{caught.value.hint}{caught.value.details}"
    assert "Login" not in simulator.calls()


def test_a_login_that_breaks_off_does_not_show_the_password(simulator: Simulator) -> None:
    simulator.drop("Login")
    with pytest.raises(LinkedCloneError) as caught:
        open_driver(simulator.endpoint())
    assert PASSWORD not in everything_of(caught.value)


def test_a_missing_password_is_reported(simulator: Simulator) -> None:
    endpoint = replace(simulator.endpoint(), password=None)
    with pytest.raises(AuthenticationError, match="there is no password") as caught:
        open_driver(endpoint)
    assert "GOVC_PASSWORD" in caught.value.hint


def test_the_simulators_certificate_is_not_trusted_by_itself(simulator: Simulator) -> None:
    with pytest.raises(CertificateError) as caught:
        open_driver(simulator.endpoint(tls=Tls()))
    assert "CN=vcsim" in caught.value.details
    assert "SHA-256" in caught.value.details


def test_its_own_certificate_will_do_as_authority(simulator: Simulator) -> None:
    open_driver(simulator.endpoint(tls=Tls(ca_file=simulator.certificate_file))).close()


def test_an_unreachable_server_is_reported(simulator: Simulator) -> None:
    endpoint = simulator.endpoint()
    simulator.stop()
    with pytest.raises(EndpointError, match="refuses connections"):
        open_driver(endpoint)


def test_an_ended_session_is_opened_again(simulator: Simulator, driver: Driver) -> None:
    vm = find(driver, PARENT)
    simulator.reset_calls()
    simulator.end_sessions()
    set_power(driver, vm, Power.ON)
    assert simulator.calls()["Login"] == 1
    assert find(driver, PARENT).power is Power.ON


def test_a_read_survives_a_lost_connection(simulator: Simulator, driver: Driver) -> None:
    simulator.drop("RetrievePropertiesEx")
    assert find(driver, PARENT).name == "DC0_H0_VM0"


def test_a_change_is_not_sent_twice(simulator: Simulator, driver: Driver) -> None:
    vm = find(driver, PARENT)
    simulator.drop("PowerOnVM_Task", after=True)
    with pytest.raises(BusyError, match="the connection to 127"):
        driver.start(do.set_power(vm, Power.ON))
    assert simulator.calls()["PowerOnVM_Task"] == 1


def test_closing_never_fails(simulator: Simulator, driver: Driver) -> None:
    simulator.stop()
    driver.close()
    driver.close()


def test_a_lone_esxi_host_makes_no_folders_and_holds_no_images(start_simulator: Start) -> None:
    with opened(start_simulator("-esx")) as driver:
        with pytest.raises(HypervisorError, match="without vCenter") as caught:
            require(driver.features, CreateFolder)
        assert "folder that exists" in caught.value.hint
        with pytest.raises(UnsupportedError, match="cannot hold images") as refused:
            require_service(driver.services.images, driver.features, "hold images")
        assert "local: can" in refused.value.hint  # a vCenter cannot, either
        assert any("ESXi" in finding.text for finding in diagnose(driver))


def test_an_older_vcenter_is_spoken_to_in_its_own_version(start_simulator: Start) -> None:
    simulator = start_simulator("-api-version", "7.0.3.0")
    with opened(simulator) as driver:
        find(driver, PARENT)
    assert driver.identify().version
