"""Images: files from elsewhere that become parent VMs with the snapshot ``base``."""

import os
import secrets
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from linkedclone.drivers.local.inventory.layer_users import Survey, take_survey
from linkedclone.drivers.local.lifecycle.delete import delete_vm
from linkedclone.drivers.local.lifecycle.naming import (
    find_unfinished,
    plain_name,
    publish_version,
    refuse_taken,
    refuse_version_name,
    same_image,
    version_of,
)
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.state.folder import (
    VMS,
    StateFolder,
    key_of,
    new_disk_name,
    new_vm_id,
)
from linkedclone.drivers.local.state.record import DiskRecord, SnapshotRecord, VmRecord
from linkedclone.drivers.local.state.staging import at_work
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.local.storage.hanging import build_delta_over
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.drivers.local.storage.intake import let_go, take_in
from linkedclone.drivers.local.storage.seals import seal_if_possible
from linkedclone.drivers.qemu.hardware import MachineRecord, disk_label, new_mac
from linkedclone.drivers.qemu.images.download import downloaded, hash_file, refuse_other, show_url
from linkedclone.drivers.qemu.images.image_file import check_importable, detect_format
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.errors import HypervisorError, InputError, InUseError, NotFoundError, RefusedError
from linkedclone.formats.chain import DiskFile, ImageFormat, read_disk_file
from linkedclone.model.images import Image, ImageImport, TellBytes, tell_nobody
from linkedclone.model.request import DEFAULT_OWNER
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.values.version import __version__
from linkedclone.model.values.vm_names import check_name, check_user
from linkedclone.model.vm import Mark
from linkedclone.system.atomic_files import write_new
from linkedclone.system.private_files import PRIVATE_FOLDER

BASE_SNAPSHOT = "base"


def import_image(state: StateFolder, wanted: ImageImport, tell: TellBytes = tell_nobody) -> VmId:
    """Take an image in and make a parent of it; return the VM's id.

    The file is taken into the state folder first, and what is there is examined.
    It becomes the sealed base layer as it is, whatever its format; the parent
    writes to a delta over it. An image that has the name already becomes an older
    version; see ``naming``. What a killed command left unsealed of the same
    import is taken up.
    """
    check_name(wanted.name)
    refuse_version_name(wanted.name)
    _check_machine(wanted)
    refuse_taken(state, wanted.name)
    if not wanted.url:
        _refuse_layer(wanted)
        return _import_file(state, wanted, tell)
    from linkedclone.drivers.qemu.images.fetch import ask_server, check_url

    check_url(wanted.url)
    with downloaded(
        state.downloads, wanted.url, sha256=wanted.sha256, ask=ask_server, tell=tell
    ) as fetched:
        source = wanted.source or show_url(wanted.url)
        found = replace(wanted, file=fetched.file, url="", sha256="", move=True, source=source)
        return _import_file(state, found, tell, whole=fetched.whole)


def _check_machine(wanted: ImageImport) -> None:
    """Refuse what the machine and its guest would take for something else."""
    if wanted.user:
        check_user(wanted.user)
    if any(character < " " or character == "\x7f" for character in wanted.append):
        raise InputError(
            f"the kernel's command line {wanted.append!r} has control characters",
            hint="write it in one line",
        )


def _refuse_layer(wanted: ImageImport) -> None:
    """Refuse to take a layer away from the VMs of a state folder, this one or another."""
    if wanted.file is None:
        return
    file = Path(os.path.realpath(wanted.file))
    in_vms = file.parent.parent.name == VMS and (file.parent.parent.parent / "id").is_file()
    if wanted.move and in_vms:
        raise InputError(
            f"{wanted.file} is in a state folder, where VMs may read it",
            hint="leave out ``image.move`` to have it copied",
        )
    if file.is_file():
        refuse_writers([file])


def _import_file(
    state: StateFolder, wanted: ImageImport, tell: TellBytes, *, whole: bool = True
) -> VmId:
    if wanted.file is None:
        raise InputError("no image was named", hint="name a file or a URL")
    with at_work(state, "import", key_of(wanted.name)) as (entry, lock):
        tell("importing")
        folder = entry / "vm"
        folder.mkdir(mode=PRIVATE_FOLDER)
        base = folder / "image"
        taken = take_in(wanted.file, base, move=wanted.move, durable=state.durable)
        seen = _examine(wanted, base, lock, tell)
        if seen.format is ImageFormat.RAW and not whole:
            raise InputError(
                f"cannot check whether {wanted.source} was downloaded completely",
                details="the server does not say how long it is, and a raw disk does not either",
                hint="give its sum: ``sha256`` SUM",
            )
        vm = find_unfinished(state, wanted.name, seen.path)
        if vm is not None and not _is_as_wanted(vm, wanted):
            seal_if_possible(state, vm.tops[0])
            raise same_image(vm)
        if vm is None:
            built = _build(state, wanted, seen, folder)
            publish_version(state, built.folder, built.id, built.record)
            vm = replace(built, folder=state.folder(built.id))
        if wanted.move:
            let_go(wanted.file, taken)  # before the seal: an immutable file keeps all its names
        seal_if_possible(state, vm.tops[0])
    return vm.id


def _examine(wanted: ImageImport, base: Path, lock: int, tell: TellBytes) -> DiskFile:
    """Look at the image where only we can change it; return it under the name that it keeps."""
    what = wanted.source or str(wanted.file)
    if wanted.sha256:
        refuse_other(what, wanted.sha256, hash_file(base, tell))
    image_format = _choose_format(base, wanted.format, what)
    named = base.rename(base.with_name(new_disk_name(image_format.value)))
    try:
        seen = read_disk_file(named, image_format)
    except HypervisorError:
        # Errors in the header name the file that the user gave.
        seen = DiskFile(path=named, format=image_format)
    check_importable(seen, what, lock=lock, tell=tell)
    if seen.virtual_bytes == 0:
        raise InputError(f"{what} is an empty disk", hint="name an image that boots")
    return seen


def _choose_format(base: Path, wanted: str, what: str) -> ImageFormat:
    if not wanted:
        return detect_format(base, what)
    try:
        return ImageFormat(wanted)
    except ValueError as error:
        known = ", ".join(ImageFormat)
        brief = f"there is no image format {wanted!r}"
        raise InputError(brief, hint=f"known are: {known}") from error


def _is_as_wanted(vm: StoredVm, wanted: ImageImport) -> bool:
    seen = vm.record.machine
    return (seen.cpus, seen.memory_bytes, seen.user, seen.firmware, seen.append) == (
        wanted.cpus,
        wanted.memory_bytes,
        wanted.user,
        wanted.firmware,
        wanted.append,
    )


def _build(state: StateFolder, wanted: ImageImport, base: DiskFile, folder: Path) -> StoredVm:
    for name, extra in (("kernel", wanted.kernel), ("initrd", wanted.initrd)):
        if extra is not None:
            take_in(extra, folder / name, move=False, durable=state.durable)
    vm = new_vm_id(wanted.name)
    record = _build_record(wanted, base.path.name)
    built = StoredVm(id=vm, folder=folder, record=record)
    write_new(built.top, build_delta_over(base, built), durable=state.durable)
    return built


def _build_record(wanted: ImageImport, base: str) -> VmRecord:
    file = wanted.file or Path()
    source = wanted.source or os.path.abspath(file)  # noqa: PTH100 - links stay as they are
    snapshot = SnapshotRecord(
        id=SnapshotId(f"snapshot-{secrets.token_hex(6)}"),
        name=BASE_SNAPSHOT,
        disks=(DiskRecord(label=disk_label(0), file=base),),
        created=datetime.now(UTC),
        description=f"imported from {wanted.source or file.name}",
    )
    own = str(uuid.uuid4())
    return VmRecord(
        name=wanted.name,
        uuid=own,
        disks=(DiskRecord(label=disk_label(0), file=new_disk_name("qcow2")),),
        machine=MachineRecord(
            cpus=wanted.cpus,
            memory_bytes=wanted.memory_bytes,
            cards=(CardRecord(mac=new_mac()),),
            kernel="kernel" if wanted.kernel else "",
            initrd="initrd" if wanted.initrd else "",
            append=wanted.append,
            user=wanted.user,
            firmware=wanted.firmware,
        ),
        snapshots=(snapshot,),
        created=snapshot.created,
        mark=Mark(owner=DEFAULT_OWNER, uuid=own, version=__version__),
        image=source,
    )


def list_images(state: StateFolder) -> tuple[Image, ...]:
    """Return all images, by name, the newest version first, with what depends on each."""
    survey = take_survey(state)
    images = [_describe(state, vm, survey) for vm in survey.stored.vms if vm.record.image]
    return tuple(sorted(images, key=lambda image: (plain_name(image.name), -image.version)))


def _describe(state: StateFolder, vm: StoredVm, survey: Survey) -> Image:
    base = survey.chains[vm.top][0]
    names = {other.id: other.record.name for other in survey.stored.vms}
    layers = _layers(vm, survey)
    users = set().union(*(survey.users.get(layer, ()) for layer in layers))
    foreign = (state.relative(disk.path) for disk in survey.foreign if disk.hangs_from(layers))
    created = [s.created for s in vm.record.snapshots if s.name == BASE_SNAPSHOT]
    return Image(
        vm=vm.id,
        name=vm.record.name,
        version=version_of(vm.record),
        source=vm.record.image,
        format=base.format.value,
        capacity_bytes=base.virtual_bytes,
        file_bytes=0 if base.missing else base.path.stat().st_blocks * 512,
        imported=created[0] if created else None,
        dependants=tuple(sorted((*(names[user] for user in users if user != vm.id), *foreign))),
    )


def _layers(vm: StoredVm, survey: Survey) -> set[Path]:
    return {file.path for top in vm.tops for file in survey.chains[top]}


def remove_image(state: StateFolder, machines: OpenMachine, name: str) -> None:
    """Delete an image's parent VM and its base.

    What is the newest version after that bears the plain name.
    """
    found = [image for image in list_images(state) if key_of(image.name) == key_of(name)]
    if not found:
        raise NotFoundError(f"there is no image {name!r}", hint="``image list`` shows them")
    image = found[0]
    if image.dependants:
        raise InUseError(
            f"the image {name} is in use",
            dependants=image.dependants,
            hint="delete those first",
        )
    doubts = take_survey(state).doubts
    if doubts:
        raise RefusedError(
            f"not removing the image {name}: its clones are unknown",
            details="\n".join(doubts),
            hint="``doctor`` says how to fix that; or, as a VM like any other: "
            f"``delete`` {image.name}",
        )
    delete_vm(state, machines, image.vm)
