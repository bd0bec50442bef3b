#!/bin/sh
# Lets linkedclone fork this guest on vSphere, and gives each fork an identity of its own.
#
#   instant-clones-guest.sh freeze   stand still here: each fork goes on behind this point
#   instant-clones-guest.sh wait     run on, and wait to be forked
#
# Run it as root when all that clones shall have is up, for example as the last unit of systemd.
# It needs open-vm-tools (vmware-rpctool), perl or python3, and iproute2. It tells that it
# waits, and later that a fork has its identity, by guestinfo: no user of the guest is needed.
# A fork's network cards are connected once this script has told that all went well.
set -u
umask 022
root=${LINKEDCLONE_ROOT:-} # for tests
prefix=guestinfo.linkedclone
id=

get() { vmware-rpctool "info-get $prefix.$1" 2>/dev/null; }
tell() { vmware-rpctool "info-set $prefix.$1 $2" >/dev/null; }

fail() {
  [ -z "$id" ] || tell identity "$id failed: $*"
  exit 1
}

# Words name=value; a name is made of small letters and digits, a value holds no space.
read_wanted() {
  for word in $1; do
    name=${word%%=*} value=${word#*=}
    case $name in '' | *[!a-z0-9_]*) continue ;; esac
    eval "want_$name=\$value"
    [ "$name" != id ] || id=$value
  done
}

wanted() { eval "echo \"\${want_$1:-}\""; }

# Until this, all forks draw the same random numbers. Writing alone does nothing: the kernel
# has to be told (RNDRESEEDCRNG).
reseed() {
  [ "$(wanted seed)" ] || fail "there is no seed"
  wanted seed >"$root/dev/urandom" || fail "the seed cannot be written"
  perl -e 'open(F, ">", $ARGV[0]) && ioctl(F, 0x5207, 0) or exit 1' "$root/dev/urandom" ||
    python3 -c 'import fcntl, sys; fcntl.ioctl(open(sys.argv[1], "wb"), 0x5207)' \
      "$root/dev/urandom" 2>/dev/null || fail "the random generator was not reseeded"
}

set_names() {
  host=$(wanted host_name) domain=$(wanted domain)
  [ "$host" ] || fail "there is no host name"
  echo "$host" >"$root/proc/sys/kernel/hostname" && echo "$host" >"$root/etc/hostname" ||
    fail "the host name cannot be set"
  { grep -v '^127\.0\.1\.1[[:space:]]' "$root/etc/hosts"; echo "127.0.1.1 ${domain:+$host.$domain }$host"; } \
    >"$root/etc/hosts.new" && cat "$root/etc/hosts.new" >"$root/etc/hosts" && rm "$root/etc/hosts.new" ||
    fail "/etc/hosts cannot be written"
  wanted machine_id >"$root/etc/machine-id" || fail "the machine-id cannot be written"
  dbus=$root/var/lib/dbus/machine-id
  [ ! -f "$dbus" ] || [ -L "$dbus" ] || wanted machine_id >"$dbus"
}

renew_keys() {
  [ -d "$root/etc/ssh" ] || return 0
  rm -f "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub
  ssh-keygen -A ${root:+-f "$root"} >/dev/null || fail "no SSH host keys could be made"
  systemctl try-restart ssh sshd 2>/dev/null || :
}

# What cloud-init has done for the parent is done: a reboot finds nothing new.
keep_cloud_init() {
  cloud=$root/var/lib/cloud new=$(wanted instance_id)
  [ -f "$cloud/data/instance-id" ] || return 0
  read -r old <"$cloud/data/instance-id"
  [ "$old" != "$new" ] || return 0
  cp -a "$cloud/instances/$old" "$cloud/instances/$new" &&
    ln -sfn "/var/lib/cloud/instances/$new" "$cloud/instance" &&
    echo "$new" >"$cloud/data/instance-id" ||
    fail "the instance-id of cloud-init cannot be replaced"
}

# The guest's driver keeps the parent's MAC address until it takes the card anew.
renew_cards() {
  number=0
  for card in "$root"/sys/class/net/*; do
    [ -e "$card/device/driver" ] || continue
    device=$(readlink -f "$card/device") driver=$(readlink -f "$card/device/driver")
    echo "${device##*/}" >"$driver/unbind" && echo "${device##*/}" >"$driver/bind" ||
      fail "the network card ${card##*/} cannot be taken anew"
    address_card "$number" "${card##*/}"
    number=$((number + 1))
  done
  [ ! -d "$root/run/systemd/netif" ] || systemctl try-restart systemd-networkd ||
    fail "systemd-networkd does not restart"
}

# Fixed addresses, so that they hold after a restart too.
address_card() {
  own=$root/etc/systemd/network/05-linkedclone-$1.network
  rm -f "$own"
  addresses=$(wanted "addresses$1")
  [ "$addresses" ] || return 0
  [ -d "$root/etc/systemd/network" ] || fail "fixed addresses need systemd-networkd here"
  read -r mac <"$root/sys/class/net/$2/address" || fail "$2 has no address"
  {
    printf '[Match]\nMACAddress=%s\n\n[Network]\n' "$mac"
    [ "$(wanted "dhcp$1")" != yes ] || echo DHCP=ipv4
    for word in $(echo "$addresses" | tr , ' '); do echo "Address=$word"; done
    for word in $(wanted "gateways$1" | tr , ' '); do echo "Gateway=$word"; done
    for word in $(wanted "dns$1" | tr , ' '); do echo "DNS=$word"; done
    for word in $(wanted "search$1" | tr , ' '); do echo "Domains=$word"; done
  } >"$own" || fail "$own cannot be written"
}

run_hooks() {
  LINKEDCLONE_NAME=$(wanted name) LINKEDCLONE_HOST_NAME=$(wanted host_name)
  LINKEDCLONE_INSTANCE_ID=$(wanted instance_id) LINKEDCLONE_MACHINE_ID=$(wanted machine_id)
  export LINKEDCLONE_NAME LINKEDCLONE_HOST_NAME LINKEDCLONE_INSTANCE_ID LINKEDCLONE_MACHINE_ID
  for hook in "$root"/etc/linkedclone/instant.d/*; do
    [ -f "$hook" ] && [ -x "$hook" ] || continue
    "$hook" >/dev/null 2>&1 </dev/null || fail "the hook ${hook##*/} ended with status $?"
  done
}

take_identity() {
  reseed
  hwclock --hctosys || fail "the clock cannot be set"
  set_names
  renew_keys
  keep_cloud_init
  renew_cards
  run_hooks
  tell identity "$id done"
}

# Waits until it is told who it is to be: in a fork, and only there.
await_wanted() {
  seen=$1
  while told=$(get fork); [ -z "$told" ] || [ "$told" = "$seen" ]; do sleep 0.2; done
  read_wanted "$told"
  [ "$id" ] || exit 1
}

case ${1:-} in
  freeze)
    before=$(get fork)
    tell ready 1
    vmware-rpctool "instantclone.freeze" >/dev/null || exit 1
    # From here on in each fork.
    await_wanted "$before"
    take_identity
    ;;
  wait)
    told=$(get fork)
    while :; do
      tell ready 1
      await_wanted "$told"
      take_identity
    done
    ;;
  *)
    echo "usage: $0 freeze|wait" >&2
    exit 2
    ;;
esac
