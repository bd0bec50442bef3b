"""Images that parents are made of, where an endpoint holds some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkedclone.app.vms.vms import Vms
from linkedclone.drivers.features import require_service
from linkedclone.drivers.services import ImageStore
from linkedclone.model.images import tell_nobody

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting
    from linkedclone.lineage.vm_rows import VmRow
    from linkedclone.model.images import Image, ImageBuild, ImageImport, TellBytes
    from linkedclone.model.values.ids import VmId


class Images:
    """Images of one endpoint."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting

    def list(self) -> tuple[Image, ...]:
        """Return the imported images, by name."""
        return self._store.list_images()

    def add(self, wanted: ImageImport, tell: TellBytes | None = None) -> VmRow:
        """Make a parent with the snapshot ``base`` of an image; return it.

        An image that has the name already becomes an older version of it.
        ``tell`` receives the progress.
        """
        made = self._store.import_image(wanted, tell or tell_nobody)
        return self._show_made(made)

    def build(self, wanted: ImageBuild, tell: TellBytes | None = None) -> VmRow:
        """Make a parent with the snapshot ``base`` of a distribution's packages; return it."""
        made = self._store.build_image(wanted, tell or tell_nobody)
        return self._show_made(made)

    def remove(self, name: str) -> None:
        """Delete an image that nothing depends on."""
        self._store.remove_image(name)

    def _show_made(self, made: VmId) -> VmRow:
        (vm,) = self._acting.driver.observe_vms([made])
        return Vms(self._acting).show(vm.uuid)

    @property
    def _store(self) -> ImageStore:
        driver = self._acting.driver
        return require_service(driver.services.images, driver.features, "hold images")
