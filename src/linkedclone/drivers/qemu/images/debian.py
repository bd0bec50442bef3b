"""The recipe of a Debian guest: what is in it, and how it is set up. Pure.

A guest of whole packages, nothing of ours in it: the distribution's cloud
kernel, cloud-init, the guest agent, an SSH server. Its kernel is booted
directly [fact: qemu-cloud-kernel].
"""

from dataclasses import dataclass

from linkedclone.errors import InputError

DEFAULT_RELEASE = "bookworm"
SMALLEST_BYTES = 2 << 30
LARGEST_BYTES = 15 << 40
"""ext4 with its blocks of 4 KiB, where the disk is made, holds files below 16 TiB."""

PACKAGES = (
    "linux-image-cloud-amd64",
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "cloud-init",
    "qemu-guest-agent",
    "openssh-server",
    "sudo",
    "iproute2",
    "iputils-ping",
    "e2fsprogs",
    "lz4",
    "ca-certificates",
)

KERNEL_ARGUMENTS = (
    "root=/dev/vda rw console=ttyS0 quiet no_timer_check cryptomgr.notests random.trust_cpu=on"
)
USER = "debian"
"""The default user of Debian's cloud-init."""

_LEFT_OUT = ("doc", "man", "info", "locale", "lintian")

_INITRAMFS = """\
# Written by linkedclone: the disk's driver and its file system are all that is needed.
MODULES=list
COMPRESS=lz4
"""
_MODULES = "virtio_pci\nvirtio_blk\next4\n"
_CLOUD_INIT = """\
# Written by linkedclone: the seed is a disk with the label cidata; nothing else is looked for.
datasource_list: [NoCloud, None]
locale: false
ssh_genkeytypes: [ed25519, ecdsa]
system_info:
  network:
    renderers: [networkd]
"""
_FSTAB = "/dev/vda / ext4 noatime,x-systemd.growfs 0 1\n"

# Before the packages are there: installing the kernel makes the initial RAM disk.
_PREPARE = """\
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf '%s' "$INITRAMFS" >"$1/etc/initramfs-tools/conf.d/linkedclone.conf"
printf '%s' "$MODULES" >"$1/etc/initramfs-tools/modules"
"""

# An empty machine-id is filled at each first boot; a missing one would not be kept.
_FINISH = """\
printf '%s' "$CLOUD_INIT" >"$1/etc/cloud/cloud.cfg.d/90_linkedclone.cfg"
printf '%s' "$FSTAB" >"$1/etc/fstab"
chroot "$1" systemctl -q enable systemd-networkd systemd-resolved
chroot "$1" systemctl -q disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \\
  e2scrub_all.timer e2scrub_reap.service fstrim.timer
echo LANG=C.UTF-8 >"$1/etc/default/locale"
rm -f "$1"/etc/ssh/ssh_host_* "$1/var/lib/dbus/machine-id" "$1/etc/resolv.conf"
ln -s ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
: >"$1/etc/machine-id"
echo debian >"$1/etc/hostname"
mkdir -p "$BOOT"
cat "$1"/boot/vmlinuz-* >"$BOOT/kernel"
cat "$1"/boot/initrd.img-* >"$BOOT/initrd"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianRecipe:
    release: str = DEFAULT_RELEASE
    packages: tuple[str, ...] = ()  # packages besides those that every guest gets
    capacity_bytes: int = 8 << 30  # the size of the disk


def check_recipe(recipe: DebianRecipe) -> None:
    for name in (recipe.release, *recipe.packages):
        if not name or name.startswith("-") or not set(name) <= _NAME_CHARACTERS:
            raise InputError(
                f"{name!r} is not a valid name of a release or package",
                hint="lower-case letters, digits and + - . : are allowed",
            )
    if recipe.capacity_bytes < SMALLEST_BYTES:
        raise InputError("the disk is too small for Debian", hint="2GiB is the least")
    if recipe.capacity_bytes > LARGEST_BYTES:
        raise InputError("the disk is too large", hint="15TiB is the most")


_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+-.:")


def build_bootstrap(
    recipe: DebianRecipe, *, target: str, sources: tuple[str, ...]
) -> tuple[str, ...]:
    """Build the command line of mmdebstrap; without sources it decides where packages come from."""
    left_out = (f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT)
    return (
        *("mmdebstrap", "--variant=minbase", "--format=directory", "--architectures=amd64"),
        "--include=" + ",".join(dict.fromkeys((*PACKAGES, *recipe.packages))),
        *left_out,
        *("--dpkgopt=path-include=/usr/share/locale/locale.alias",),
        f"--essential-hook={_PREPARE}",
        f"--customize-hook={_FINISH}",
        recipe.release,
        target,
        *sources,
    )


def build_hook_settings(boot: str) -> dict[str, str]:
    """Return the environment of the hooks, which put what is booted into a folder."""
    return {
        "INITRAMFS": _INITRAMFS,
        "MODULES": _MODULES,
        "CLOUD_INIT": _CLOUD_INIT,
        "FSTAB": _FSTAB,
        "BOOT": boot,
    }


def build_filesystem(root: str, disk: str) -> tuple[str, ...]:
    """Build the command line of mke2fs, which fills the file system from a folder.

    Nothing is left for the first boot to initialise: it would land in every delta.
    """
    extended = "lazy_itable_init=0,lazy_journal_init=0"
    return (
        *("mke2fs", "-q", "-t", "ext4", "-m", "1", "-L", "debian-root", "-E", extended),
        *("-d", root, disk),
    )
