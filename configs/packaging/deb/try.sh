#!/usr/bin/env bash
# Installs a package in a new Debian root, uses it, removes and purges it, and looks for what is left. Needs root and
# mmdebstrap; takes a minute, most of it for the root.
#
#   configs/packaging/deb/try.sh PACKAGE [ROOT.tar]
set -euo pipefail
# What is mounted here, nobody else sees, and it goes with this process.
if [ -z "${WEIR_TRY_INSIDE:-}" ]; then WEIR_TRY_INSIDE=1 exec unshare --mount "$0" "$@"; fi
package=$(realpath "$1")
work=$(mktemp -d)
root=$work/root
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT

if [ $# -gt 1 ]; then
    mkdir "$root"
    tar -C "$root" -xf "$2"
else
    mmdebstrap --quiet --variant=minbase bookworm "$root"
fi
mount -t proc proc "$root/proc"
cp "$package" "$root/weir.deb"
inside() { DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" "$@"; }
say() { printf '==> %s\n' "$*"; }

inside apt-get update -qq
inside apt-get install -y -qq --no-install-recommends passwd adduser procps systemd >/dev/null 2>&1
(cd "$root" && find etc usr lib var/lib -xdev ! -path 'var/lib/apt/*' ! -path 'var/lib/dpkg/*' ! -path etc/ld.so.cache |
    LC_ALL=C sort) >"$work/before"

say "install"
inside apt-get install -y -qq --no-install-recommends /weir.deb >/dev/null 2>"$work/errors" ||
    { cat "$work/errors"; exit 1; }
inside weir --version
inside weir check --config /etc/weir/relay.yaml
inside getent passwd weir
say "units"
inside systemd-analyze verify --man=no /lib/systemd/system/weir.service /lib/systemd/system/weir.socket
inside systemctl enable weir.socket weir.service
say "serve as the package's user"
inside install -d -o weir -g weir -m 700 /var/lib/weir
# At ports that others of this machine do not use.
sed -e 's/:18000/:28765/' -e 's/:9901/:28766/' "$root/etc/weir/relay.yaml" >"$root/tmp/relay.yaml"
chroot "$root" setpriv --reuid=weir --regid=weir --clear-groups weir serve --config /tmp/relay.yaml 2>"$work/log" &
server=$!
for _ in $(seq 100); do
    inside weir status --admin 127.0.0.1:28766 >"$work/status" 2>&1 && break
    sleep 0.1
done
cat "$work/status"
if ! grep -q LIVE "$work/status"; then cat "$work/log"; exit 1; fi
inside test -s /var/lib/weir/weir.mdb
kill -TERM "$server"
wait "$server"
say "install again over itself, then remove: the configuration stays"
echo '# mine' >>"$root/etc/weir/relay.yaml"
inside dpkg -i /weir.deb >/dev/null
inside dpkg --remove weir >/dev/null
tail -n 1 "$root/etc/weir/relay.yaml" | grep -qx '# mine'
say "purge: nothing stays"
inside dpkg --purge weir >/dev/null
inside apt-get autoremove -y -qq >/dev/null
if inside getent passwd weir; then exit 1; fi
(cd "$root" && find etc usr lib var/lib -xdev ! -path 'var/lib/apt/*' ! -path 'var/lib/dpkg/*' ! -path etc/ld.so.cache |
    LC_ALL=C sort) >"$work/after"
LC_ALL=C comm -13 "$work/before" "$work/after" >"$work/left"
if [ -s "$work/left" ]; then cat "$work/left"; exit 1; fi
say "fine"
