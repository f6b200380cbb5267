#!/usr/bin/env bash
# Makes weir_VERSION_ARCH.deb of a release binary. The same binary and commit make the same bytes.
#
#   configs/packaging/deb/build.sh BINARY DESCRIPTORS OUTPUT_FOLDER
#
# MAINTAINER, SOURCE_DATE_EPOCH and COMPRESSION (xz, none) may be set in the environment.
set -euo pipefail
export LC_ALL=C
umask 022
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../../.." && pwd)
binary=$(realpath "$1") descriptors=$(realpath "$2")
mkdir -p "$3"
output=$(realpath "$3")

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$project" log -1 --format=%ct 2>/dev/null || date +%s)}
maintainer=${MAINTAINER:-weir maintainers <maintainers@weir.invalid>}
version=$("$binary" --version | awk '{ print $2 }')
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
chmod 755 "$work"

put() { install -D -m "$1" "$2" "$root/$3"; }

put 755 "$binary" usr/bin/weir
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/weir"
put 644 "$descriptors" usr/share/weir/xds-descriptors.binpb
put 644 "$here/relay.yaml" etc/weir/relay.yaml

# The units of configs/systemd, at a package's paths and with the package's user.
for unit in weir.service weir.socket; do
    put 644 "$project/configs/systemd/$unit" "lib/systemd/system/$unit"
    sed -i -e '/^\[Unit\]/,$!d' -e 's,/usr/local/,/usr/,g' -e 's,^DynamicUser=yes$,User=weir\nGroup=weir,' \
        "$root/lib/systemd/system/$unit"
done
sed -i 's,^\[Unit\],&\nDocumentation=man:weir(1),' "$root"/lib/systemd/system/weir.*

put 644 "$project/docs/weir.1" usr/share/man/man1/weir.1
gzip -9n "$root/usr/share/man/man1/weir.1"
for shell in bash:bash-completion/completions/weir zsh:zsh/vendor-completions/_weir \
             fish:fish/vendor_completions.d/weir.fish; do
    "$binary" completion "${shell%%:*}" >"$work/completion"
    put 644 "$work/completion" "usr/share/${shell#*:}"
done

documents=usr/share/doc/weir
put 644 "$here/copyright" "$documents/copyright"
put 644 "$project/CHANGELOG.md" "$documents/NEWS.md"
gzip -9n "$root/$documents/NEWS.md"
printf 'weir (%s) stable; urgency=medium\n\n  * See NEWS.md.gz.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(date -uR -d "@$SOURCE_DATE_EPOCH")" >"$work/changelog"
put 644 "$work/changelog" "$documents/changelog"
gzip -9n "$root/$documents/changelog"

# The packages of the libraries that the program is linked to, with the versions that it needs.
mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: weir\n\nPackage: weir\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps --warnings=0 -O "$root/usr/bin/weir" | sed -n 's/^shlibs:Depends=//p')

cat >"$root/DEBIAN/control" <<END
Package: weir
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Pre-Depends: init-system-helpers (>= 1.54~)
Depends: $depends, adduser, procps
Section: net
Priority: optional
Description: xDS relay between an Envoy control plane and its proxies
 Weir subscribes to a control plane once for each group of proxies, caches what
 it gets, and serves it to the Envoys and gRPC clients of the group, by delta or
 state-of-the-world xDS on either side.
 .
 Clients are served from the cache while the control plane is away, and sent
 only what has changed when it is back.
END
echo /etc/weir/relay.yaml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "$here/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
    >"$work/md5sums"
install -m 644 "$work/md5sums" "$root/DEBIAN/md5sums"

find "$root" -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$root" "$output/weir_${version}_$arch.deb" >/dev/null
echo "$output/weir_${version}_$arch.deb"
