"""What a vCenter can do, and what is left of it at a lone ESXi host."""

from typing import Final

from linkedclone.drivers.features import ALL_STEPS, Features
from linkedclone.drivers.rules.refusals import FIELDS, OF_GUESTS
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.model.plan import CreateFolder, DeleteMemory, PromoteVm, RelocateVm, SetTemplate

_OF_VCENTER: Final = frozenset({CreateFolder, PromoteVm, RelocateVm, SetTemplate})
"""What a lone ESXi host cannot do [fact: vs-esxi]."""

_FIELDS_OF_VCENTER: Final = frozenset(
    {
        "snapshot.prepare_template",
        "placement.datacenter",
        "placement.datastore_cluster",
        "placement.cluster",
        "placement.host",
        "placement.create_folder",
        "placement.folder",
        "placement.spread.datastore",
        "placement.spread.host",
        "hardware.keep_tpm",
        *OF_GUESTS,
    }
)
"""What means nothing at a lone ESXi host."""

_FORKS: Final = (6, 7)
"""The API that knows instant clones first [fact: vs-instant-clone]."""


def find_features(session: Session) -> Features:
    """Say what the endpoint of a session can do; costs no call.

    128 clones may be in flight: vCenter queues what its hosts cannot take yet; a host by
    itself takes 8 [fact: vs-limits]. Disks with parents do not grow [fact: vs-linked-no-growth].
    """
    alone = not session.is_vcenter
    fields = frozenset(FIELDS) - {"hardware.firmware", "hardware.display"}
    if alone:
        fields -= _FIELDS_OF_VCENTER
    if not knows_forks(session):
        fields -= {"instant"}
    return Features(
        endpoint="an ESXi host without vCenter" if alone else "vSphere",
        steps=ALL_STEPS - {DeleteMemory} - (_OF_VCENTER if alone else frozenset()),
        request_fields=fields,
        pool_section="vsphere",
        parallel=8 if alone else 128,
        patience_seconds=session.endpoint.patience_seconds,
    )


def knows_forks(session: Session) -> bool:
    """Say whether an endpoint knows instant clones."""
    return session.is_vcenter and session.api_version >= _FORKS
