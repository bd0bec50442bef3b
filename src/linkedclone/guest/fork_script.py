"""The script that gives a forked guest an identity of its own. Pure.

A fork goes on where its parent's memory was saved, so everything that was made at boot is
the parent's: it is made anew in one go, before any network card is up. The script is plain
``sh`` and uses the shell's own commands where it can: each program that is started takes an
emulated guest 15 to 120 ms.

What it relies on: [fact: linux-reseed], [fact: qemu-fork-mac], [fact: ci-fork] and
[fact: networkd-client-id].
"""

from collections.abc import Iterator
from ipaddress import ip_interface
from shlex import quote
from typing import Final

from linkedclone.guest.fork_identity import FIRST_LINE, ForkCard, ForkIdentity
from linkedclone.guest.fork_program import FAILURES, build_program

HOOKS: Final = "/etc/linkedclone/instant.d"
"""Programs of the guest's own that are run in each fork, in the order of their names."""


def build_script(identity: ForkIdentity, time_ns: int) -> bytes:
    """Build the script; root runs it. Its output is for ``fork_identity.find_faults``.

    Args:
        time_ns: The time at the moment when it is sent.
    """
    settings = {
        "name": identity.name,
        "host_name": identity.host_name,
        "full_name": identity.full_name,
        "machine_id": identity.machine_id,
        "instance_id": identity.instance_id,
        "public_key": identity.host_key.public,
        "private_key": identity.host_key.private.rstrip("\n"),
        "login": identity.login,
        "login_key": identity.login_key,
        "file": f".linkedclone-{identity.machine_id}",
        "hooks": HOOKS,
        "first_line": FIRST_LINE,
    }
    program = _octal(build_program(identity.seed, time_ns))
    lines = (
        *(f"{name}={quote(value)}" for name, value in settings.items()),
        f"program() {{ printf '{program}'; }}",
        f"dropbear_key() {{ printf '{_octal(identity.host_key.dropbear)}'; }}",
        f"cards() {{\n{''.join(_call_cards(identity.cards))}:\n}}",
        _SCRIPT,
    )
    return "\n".join(lines).encode()


def _octal(content: bytes) -> str:
    """Write bytes for the shell's ``printf``, which takes them all in this form."""
    return "".join(f"\\{byte:03o}" for byte in content)


def _call_cards(cards: tuple[ForkCard, ...]) -> Iterator[str]:
    for number, card in enumerate(cards):
        wanted = card.wanted
        words = (
            *(str(number), card.old_mac.lower(), card.mac.lower()),
            "renew" if card.renew else "",
            "dhcp" if wanted.dhcp else "",
            " ".join(str(ip_interface(address)) for address in wanted.addresses),
            *(" ".join(part) for part in (wanted.gateways, wanted.dns, wanted.search)),
        )
        yield f"card {' '.join(map(quote, words))}\n"


_EXPLAIN: Final = "\n".join(f"    {status}) echo '{why}' ;;" for status, why in FAILURES.items())

_SCRIPT: Final = (
    r"""
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset LC_ALL LANG

fail() {
  echo "failed $*"
  exit 1
}

explain() {
  case $1 in
"""
    + _EXPLAIN
    + r"""
    *) echo "the program that reseeds the random generator ended with status $1" ;;
  esac
}

# First of all, before anything draws a random number. Some systems mount some of these
# folders so that nothing in them can be run: a shell says 126 then.
status=126
for folder in /run /dev/shm /tmp /var/tmp /root; do
  path=$folder/$file
  set -C
  program 2>/dev/null >"$path" && chmod 700 "$path" || continue
  "$path" 2>/dev/null
  status=$?
  [ $status -eq 126 ] || break
  rm -f "$path"
done
set +C
[ $status -eq 0 ] || fail "$(explain $status)"

echo "$host_name" >/proc/sys/kernel/hostname || fail "the host name cannot be set"
echo "$host_name" >/etc/hostname
own="127.0.1.1 $full_name"
[ "$full_name" = "$host_name" ] || own="$own $host_name"
hosts= named=
while IFS= read -r line || [ "$line" ]; do
  case $line in
    127.0.1.1[!0-9]*) line=$own named=yes ;;
  esac
  hosts="$hosts$line
"
done </etc/hosts
[ "$named" ] || hosts="$hosts$own
"
printf %s "$hosts" >/etc/hosts

echo "$machine_id" >/etc/machine-id || fail "the machine-id cannot be written"
dbus=/var/lib/dbus/machine-id
[ ! -f $dbus ] || [ -L $dbus ] || echo "$machine_id" >$dbus

# The keys of other types are the parent's: they go.
public=/etc/ssh/ssh_host_ed25519_key.pub
for key in /etc/ssh/ssh_host_*_key /etc/dropbear/*host_key; do
  [ -e "$key" ] || continue
  case $key in
    */ssh_host_ed25519_key) ;;
    */dropbear/host_key | */dropbear_ed25519_host_key)
      dropbear_key >"$key" || fail "the host key cannot be written"
      ;;
    *) rm -f "$key" "$key.pub" || fail "the host key $key cannot be removed" ;;
  esac
done
if [ -e /etc/ssh/sshd_config ]; then
  private=${public%.pub}
  [ -e "$private" ] || (umask 077; : >"$private")
  echo "$private_key" >"$private" || fail "the host key cannot be written"
fi
[ ! -d /etc/ssh ] || echo "$public_key" >$public || fail "the host key cannot be written"

admit() {
  while IFS=: read -r user _ number group _ home _; do
    [ "$user" = "$login" ] || continue
    folder=$home/.ssh keys=$home/.ssh/authorized_keys
    [ -d "$folder" ] || mkdir -p -m 700 "$folder"
    [ ! -f "$keys" ] || while read -r line; do
      [ "$line" != "$login_key" ] || return 0
    done <"$keys"
    echo "$login_key" >>"$keys" && chmod 600 "$keys" && chown -R "$number:$group" "$folder"
    return
  done </etc/passwd
  fail "there is no user $login"
}
[ -z "$login" ] || admit || fail "$login cannot be let in"

find_card() {
  for seen in /sys/class/net/*/address; do
    card=${seen%/address}
    read -r mac <"$seen" && [ "$mac" = "$1" ] && [ -e "$card/device" ] || continue
    card=${card##*/}
    return 0
  done
  return 1
}

# Number, old and new MAC address, "renew", "dhcp", addresses, gateways, name servers, domains.
card() {
  find_card "$2" || fail "there is no network card $2"
  ip link set dev "$card" address "$3" 2>/dev/null || {
    ip link set dev "$card" down
    ip link set dev "$card" address "$3" && ip link set dev "$card" up
  } || fail "the network card $2 does not become $3"
  # The link-local address is made of the MAC address: it goes, and comes anew.
  inet6=/proc/sys/net/ipv6/conf/$card/disable_ipv6 off=
  [ ! -w "$inet6" ] || read -r off <"$inet6" # it fails, as it finds no end of the line
  if [ "$off" = 0 ]; then
    echo 1 >"$inet6"
    echo 0 >"$inet6"
  fi
  for known in /etc/netplan/*.yaml /etc/systemd/network/* /run/systemd/network/* \
    /etc/network/interfaces /etc/network/interfaces.d/*; do
    [ ! -f "$known" ] || rename_card "$known" "$2" "$3"
  done
  [ -z "$networkd" ] || write_network "$@"
  [ "$4" ] || return 0
  ip address flush dev "$card" || fail "the addresses of $card cannot be removed"
  [ "$networkd" ] || set_addresses "$@"
}

rename_card() {
  while IFS= read -r line || [ "$line" ]; do
    case $line in
      *"$2"*)
        sed -i "s/$2/$3/g" "$1" || fail "$1 cannot be changed"
        return
        ;;
    esac
  done <"$1"
}

# A file of its own for a card that has addresses of its own: it goes before what made the
# parent's, and holds after a restart.
write_network() {
  own=/etc/systemd/network/05-linkedclone-$1.network
  if [ -z "$6" ]; then
    [ ! -e "$own" ] || rm -f "$own"
    return 0
  fi
  {
    printf '[Match]\nMACAddress=%s\n\n[Network]\n' "$3"
    [ -z "$5" ] || echo DHCP=ipv4
    for word in $6; do echo "Address=$word"; done
    for word in $7; do echo "Gateway=$word"; done
    for word in $8; do echo "DNS=$word"; done
    [ -z "$9" ] || echo "Domains=$9"
  } >"$own" || fail "$own cannot be written"
}

set_addresses() {
  ip link set dev "$card" up
  for word in $6; do
    ip address add "$word" dev "$card" || fail "the address $word cannot be set"
  done
  for word in $7; do
    ip route add default via "$word" dev "$card" || fail "there is no way to $word"
  done
  if [ "$8$9" ]; then
    {
      [ -z "$9" ] || echo "search $9"
      for word in $8; do echo "nameserver $word"; done
    } >/etc/resolv.conf
  fi
  leases="$leases${5:+ $card}"
}

networkd= leases=
[ ! -d /run/systemd/netif ] || networkd=yes
cards
# It keeps what it tells DHCP servers who it is until it is restarted.
[ -z "$networkd" ] || systemctl try-restart systemd-networkd ||
  fail "systemd-networkd does not restart"

# What cloud-init has done for the parent is done: a reboot finds nothing new. A fork that is
# cut off before this point has all made anew when it boots.
kept=
if [ -f /var/lib/instance-id ]; then
  kept=/var/lib/instance-id
  echo "$instance_id" >$kept
elif [ -f /var/lib/cloud/data/instance-id ]; then
  cloud=/var/lib/cloud kept=/var/lib/cloud/data/instance-id
  read -r old <$kept
  if [ "$old" != "$instance_id" ]; then
    cp -a "$cloud/instances/$old" "$cloud/instances/$instance_id" &&
      ln -sfn "$cloud/instances/$instance_id" $cloud/instance ||
      fail "the instance-id of cloud-init cannot be replaced"
    echo "$instance_id" >$kept
    echo "$instance_id" >$cloud/data/previous-instance-id
    [ ! -f /run/cloud-init/.instance-id ] || echo "$instance_id" >/run/cloud-init/.instance-id
  fi
fi

export LINKEDCLONE_NAME="$name" LINKEDCLONE_HOST_NAME="$host_name" \
  LINKEDCLONE_INSTANCE_ID="$instance_id" LINKEDCLONE_MACHINE_ID="$machine_id" \
  LINKEDCLONE_DHCP="$leases"
for hook in "$hooks"/*; do
  [ -f "$hook" ] && [ -x "$hook" ] || continue
  "$hook" >/dev/null 2>&1 </dev/null || fail "the hook ${hook##*/} ended with status $?"
done

# sshd starts itself anew, with the new key.
if [ -e /etc/ssh/sshd_config ] && [ -f /run/sshd.pid ] && read -r pid </run/sshd.pid; then
  kill -HUP "$pid" || fail "sshd does not take the new host key"
fi
sync

echo "$first_line"
while read -r word value _; do
  [ "$word" != btime ] || boot=$value
done </proc/stat
read -r up _ </proc/uptime
echo "clock $((boot + ${up%%.*}))"
read -r value </proc/sys/kernel/hostname
echo "host-name $value"
read -r value </etc/machine-id
echo "machine-id $value"
value=-
[ -z "$kept" ] || read -r value <"$kept"
echo "instance-id $value"
card() {
  find_card "$3" || mac=none
  echo "mac $mac"
}
cards
value=none
[ ! -f $public ] || read -r value <$public
echo "host-key $value"
echo "done"
"""
)
