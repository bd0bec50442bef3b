# What the seed says, and how it is done. Sourced by rc; seed.awk makes calls of the documents.
instance_id= host_name=linkedclone full_name= time_zone= keys= first= last= errors=
users= user= passwords= cards= card= resolvers= searched=
NEWLINE='
'

read_seed() {
  set -- /seed/meta-data /seed/network-config
  if read -r line </seed/user-data && [ "${line#Content-Type: multipart}" = "$line" ]; then
    set -- "$@" /seed/user-data
  else
    unpack_parts
    set -- "$@" /run/seed/*.json
  fi
  for file in "$@"; do
    shift
    [ -f "$file" ] && set -- "$@" "$file"
  done
  eval "$(awk -f /etc/seed.awk "$@")"
}

# The parts of several documents in one are in base64; JSON is read, scripts are kept for later.
unpack_parts() {
  awk -v out=/run/seed/part '
    /^--=/ { part++; body = 0; next }
    /^\r?$/ { body = 1; next }
    body { print > (out part) }' /seed/user-data
  for part in /run/seed/part*; do
    base64 -d "$part" >"$part.text" 2>/dev/null || cp "$part" "$part.text"
    head=
    { read -r line; read -r head; } <"$part.text"
    case $line$head in
      '#cloud-config{'*) mv "$part.text" "$part.json" ;;
      '#!'*) mv "$part.text" "$part.run" ;;
      *) complain "the demo guest understands neither YAML nor $line" ;;
    esac
  done
}

# Called once for each value in the documents.
seed() {
  case $1 in
    meta-data.instance-id) instance_id=$2 ;;
    meta-data.local-hostname | *.hostname) host_name=$2 ;;
    *.fqdn) full_name=$2 ;;
    *.timezone) time_zone=$2 ;;
    *.users.*.name) user=$2 users="$users$2 " ;;
    *.users.*.sudo) seed_of_user "sudo" "yes" ;;
    *.users.*.ssh_authorized_keys.*) seed_of_user "key" "$2" ;;
    *.ssh_authorized_keys.*) keys="$keys$2$NEWLINE" ;;
    *.chpasswd.users.*.name) user=$2 ;;
    *.chpasswd.users.*.password) passwords="$passwords$user:$2$NEWLINE" ;;
    *.bootcmd.*) first="$first$2$NEWLINE" ;;
    *.runcmd.*) last="$last$2$NEWLINE" ;;
    network-config.ethernets.*) seed_of_card "$1" "$2" ;;
  esac
}

seed_of_user() {
  echo "$2" >>"/run/seed/$1.$user"
}

seed_of_card() {
  rest=${1#network-config.ethernets.}
  if [ "${rest%%.*}" != "$card" ]; then
    card=${rest%%.*} cards="$cards ${rest%%.*}"
  fi
  case ${rest#*.} in
    match.macaddress) eval "mac_$card=\$2" ;;
    dhcp4) eval "dhcp_$card=\$2" ;;
    addresses.*) eval "addresses_$card=\"\$addresses_$card \$2\"" ;;
    routes.*.via) eval "routes_$card=\"\$routes_$card \$2\"" ;;
    nameservers.addresses.*) resolvers="${resolvers}nameserver $2$NEWLINE" ;;
    nameservers.search.*) searched="$searched $2" ;;
  esac
}

set_addresses() {
  leases=
  [ "$cards" ] || { cards=any dhcp_any=true; }
  for card in $cards; do
    eval "mac=\$mac_$card dhcp=\$dhcp_$card addresses=\$addresses_$card routes=\$routes_$card"
    interface=$(find_interface "$mac") || { complain "there is no network card $mac"; continue; }
    # Nobody else can have the address: not to be asked for, it serves at once.
    echo 0 >"/proc/sys/net/ipv6/conf/$interface/accept_dad"
    ip link set "$interface" up
    for address in $addresses; do
      ip address add "$address" dev "$interface" ||
        complain "the address $address cannot be set"
    done
    for via in $routes; do
      ip route add default via "$via" dev "$interface" || complain "there is no way to $via"
    done
    if [ "$dhcp" = true ]; then
      udhcpc -i "$interface" -q -n -t 10 -T 1 -s /etc/udhcpc >/dev/null 2>&1 &
      leases="$leases $!"
    fi
  done
  [ -z "$leases" ] || wait $leases
  if [ "$resolvers$searched" ]; then
    echo "${searched:+search$searched$NEWLINE}$resolvers" >/etc/resolv.conf
  fi
}

# With no MAC address it is the first card.
find_interface() {
  for folder in /sys/class/net/*; do
    read -r found <"$folder/address"
    [ "${folder##*/}" != lo ] && [ "$found" = "${1:-$found}" ] && echo "${folder##*/}" && return
  done
  return 1
}

# There is no sudo here: who may do everything is root by another name.
make_users() {
  printf %s "$keys" >/root/.ssh/authorized_keys
  [ ! -f /run/seed/key.root ] || cat /run/seed/key.root >>/root/.ssh/authorized_keys
  number=1000
  for user in $users; do
    home=/home/$user id=$number number=$((number + 1))
    [ "$user" != root ] || continue
    [ ! -f "/run/seed/sudo.$user" ] || id=0
    if ! grep -q "^$user:" /etc/passwd; then
      echo "$user:x:$id:$id::$home:/bin/sh" >>/etc/passwd
      echo "$user:!:::::::" >>/etc/shadow
    fi
    mkdir -p "$home/.ssh"
    [ ! -f "/run/seed/key.$user" ] || mv "/run/seed/key.$user" "$home/.ssh/authorized_keys"
    chmod 700 "$home/.ssh"
    chown -R "$id:$id" "$home"
  done
  printf %s "$passwords" | while IFS=: read -r user password; do
    hash=$(printf %s "$password" | mkpasswd -s -m sha512)
    sed -i "s|^$user:[^:]*|$user:$hash|" /etc/shadow
  done
}

run_script() {
  printf %s "$2" >"/run/seed/$1.run"
  sh "/run/seed/$1.run" >/dev/console 2>&1 || complain "what is to run $1 ended with status $?"
}

run_parts() {
  for part in /run/seed/part*.run; do
    [ -f "$part" ] || continue
    cp "$part" /var/lib/script
    chmod 700 /var/lib/script
    /var/lib/script >/dev/console 2>&1 || complain "a script ended with status $?"
    rm /var/lib/script
  done
}

complain() {
  errors="$errors${errors:+, }\"$1\""
}
