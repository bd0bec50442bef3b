"""A program of some 300 bytes for what no shell can do in a forked guest. Pure.

Two forks of one machine draw the same random numbers until their kernels are told
otherwise, and nothing that all guests have can tell them: a shell has no ``ioctl``. So the
program comes with the script, as a static ELF file for x86-64 that needs no library. It
sets the clock, too, which spares the guest another program.
"""

import struct
from typing import Final

SEED_BYTES: Final = 64
FAILURES: Final = {
    1: "/dev/urandom cannot be opened",
    2: "the seed cannot be written",
    3: "the kernel does not reseed its random generator",
    4: "the clock cannot be set",
}
"""What the program's exit status means."""

_BASE: Final = 0x400000
_HEADERS: Final = 64 + 56
"""The ELF header and one program header (elf(5))."""
_DEVICE: Final = b"/dev/urandom\0"
_RESEED: Final = 0x5207
"""``RNDRESEEDCRNG`` (random(4)): ``_IO('R', 7)``."""


def build_program(seed: bytes, time_ns: int) -> bytes:
    """Build the program that mixes in a seed, reseeds the kernel's generator and sets the clock.

    The seed and the reseeding are both needed [fact: linux-reseed]. It removes its own file
    first, and ends with 0, or with a key of :data:`FAILURES`.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
    start = _BASE + _HEADERS
    device = start + len(_build_code(device=0, data=0, time=0))
    data = device + len(_DEVICE)
    time = struct.pack("<qq", *divmod(time_ns, 1_000_000_000))
    code = _build_code(device=device, data=data, time=data + SEED_BYTES)
    content = code + _DEVICE + seed + time
    return _build_headers(len(content)) + content


def _build_code(*, device: int, data: int, time: int) -> bytes:
    """Assemble the program; system calls keep all registers but rax, rcx and r11."""
    end = b"\xb8\x3c\0\0\0\x89\xdf\x0f\x05"  # mov eax, 60 (exit); mov edi, ebx; syscall
    clock = (
        b"\xb3\x04"  # mov bl, 4
        b"\x31\xff"  # xor edi, edi (CLOCK_REALTIME)
        b"\xbe" + struct.pack("<I", time) +  # mov esi, time
        b"\xb8\xe3\0\0\0\x0f\x05"  # mov eax, 227 (clock_settime); syscall
        b"\x85\xc0"  # test eax, eax
        b"\x75\x02"  # jnz end
        b"\x31\xdb"  # xor ebx, ebx
    )  # fmt: skip
    reseed = (
        b"\xb3\x03"  # mov bl, 3
        b"\xbe" + struct.pack("<I", _RESEED) +  # mov esi, RNDRESEEDCRNG
        b"\x31\xd2"  # xor edx, edx
        b"\xb8\x10\0\0\0\x0f\x05"  # mov eax, 16 (ioctl); syscall
        b"\x85\xc0"  # test eax, eax
        b"\x75" + bytes([len(clock)])  # jnz end
    )  # fmt: skip
    write = (
        b"\xb3\x02"  # mov bl, 2
        b"\x89\xc7"  # mov edi, eax
        b"\xbe" + struct.pack("<I", data) +  # mov esi, seed
        b"\xba" + struct.pack("<I", SEED_BYTES) +  # mov edx, 64
        b"\xb8\x01\0\0\0\x0f\x05"  # mov eax, 1 (write); syscall
        b"\x83\xf8" + bytes([SEED_BYTES]) +  # cmp eax, 64
        b"\x75" + bytes([len(reseed + clock)])  # jne end
    )  # fmt: skip
    return (
        b"\x48\x8b\x7c\x24\x08"  # mov rdi, [rsp + 8] (argv[0])
        b"\xb8\x57\0\0\0\x0f\x05"  # mov eax, 87 (unlink); syscall
        b"\xbb\x01\0\0\0"  # mov ebx, 1
        b"\xbf" + struct.pack("<I", device) +  # mov edi, "/dev/urandom"
        b"\xbe\x01\0\0\0"  # mov esi, 1 (O_WRONLY)
        b"\xb8\x02\0\0\0\x0f\x05"  # mov eax, 2 (open); syscall
        b"\x85\xc0"  # test eax, eax
        b"\x78" + bytes([len(write + reseed + clock)]) +  # js end
        write + reseed + clock + end
    )  # fmt: skip


def _build_headers(size: int) -> bytes:
    """Build what comes before the program: one segment to read and execute holds it all."""
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(ident, 2, 62, 1, _BASE + _HEADERS),  # an executable for x86-64; where it begins
        *(64, 0, 0, 64, 56, 1, 0, 0, 0),  # one program header behind this one, no sections
    )
    whole = _HEADERS + size
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, whole, whole, 0x1000)
