#!/bin/sh
# Makes packages of a program that is built: build.sh OUT [deb] [rpm] [tar]
#
# BINARY is the program, default what `make` has built; what it has for debuggers is left
# out. Everything in a package is what `make install` leaves. Files below /etc are
# configuration: an upgrade keeps what somebody has changed. VERSION and RELEASE name
# other ones than those of Cargo.toml, COMPRESS is xz (the default) or gzip, which is fast.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$(mkdir -p "$1" && cd "$1" && pwd)
shift
kinds=${*:-deb rpm tar}
binary=${BINARY:-$root/target/release/choria}
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)}
release=${RELEASE:-1}
maintainer='Choria in Rust <packages@choria.example.net>'
# Packages are the same whenever they are made of the same.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y "$root/CHANGELOG.md")}
export SOURCE_DATE_EPOCH
case $(uname -m) in
x86_64) deb_arch=amd64 rpm_arch=x86_64 ;;
aarch64) deb_arch=arm64 rpm_arch=aarch64 ;;
*) echo "packages are made on x86_64 and aarch64" >&2 && exit 1 ;;
esac
case ${COMPRESS:-xz} in
xz) deb_compress='-Zxz' rpm_payload=w7.xzdio level=9 ;;
gzip) deb_compress='-Zgzip -z1' rpm_payload=w1.gzdio level=1 ;;
*) echo "packages are compressed by xz or gzip, not by $COMPRESS" >&2 && exit 1 ;;
esac
test -x "$binary" || { echo "there is no $binary: run make first, or say where with BINARY=" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/choria-packages.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
stage=$work/stage
umask 022
strip --strip-unneeded --remove-section=.comment -o "$work/choria" "$binary"
make -s -C "$root" install DESTDIR="$stage" BINARY="$work/choria" UNITDIR="/usr/lib/systemd/system" PREFIX=/usr \
    ZSHDIR=/usr/share/zsh/site-functions >/dev/null
for page in "$stage"/usr/share/man/man*/*.[15]; do
    if [ -L "$page" ]; then
        ln -s "$(readlink "$page").gz" "$page.gz" && rm "$page"
    else
        gzip -9n "$page"
    fi
done
# The oldest C library it runs with; none where it brings its own.
glibc=$(objdump -T "$work/choria" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1)

libgcc=$(objdump -p "$work/choria" | grep -o 'NEEDED *libgcc_s' || true)

make_deb() {
    cp -a "$stage" "$work/deb"
    mkdir "$work/deb/DEBIAN"
    mv "$work/deb/usr/share/zsh/site-functions" "$work/deb/usr/share/zsh/vendor-completions"
    (cd "$work/deb" && find etc -type f | sed 's|^|/|' | sort) >"$work/deb/DEBIAN/conffiles"
    for script in postinst prerm postrm; do
        install -m 0755 "$here/deb/$script" "$work/deb/DEBIAN/$script"
    done
    mv "$work/deb/usr/share/doc/choria" "$work/deb/usr/share/doc/choria-rs"
    install -m 0644 "$here/deb/copyright" "$work/deb/usr/share/doc/choria-rs/copyright"
    install -D -m 0644 "$here/deb/lintian-overrides" "$work/deb/usr/share/lintian/overrides/choria-rs"
    printf 'choria-rs (%s) stable; urgency=medium\n\n  * See the change log of the project.\n\n -- %s  %s\n' \
        "$version-$release" "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" |
        gzip -9n >"$work/deb/usr/share/doc/choria-rs/changelog.Debian.gz"
    cat >"$work/deb/DEBIAN/control" <<CONTROL
Package: choria-rs
Version: $version-$release
Architecture: $deb_arch
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$work/deb" | cut -f 1)
Section: admin
Priority: optional
Depends: ${glibc:+libc6 (>= $glibc), }${libgcc:+libgcc-s1, }passwd
Recommends: systemd, logrotate
Provides: choria
Conflicts: choria, mcollective, mcollective-client
Replaces: choria, mcollective, mcollective-client
Homepage: https://choria.example.net
Description: orchestration of one machine or fifty thousand
$(sed 's/^/ /' "$here/description")
CONTROL
    (cd "$work/deb" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
        >"$work/deb/DEBIAN/md5sums"
    # shellcheck disable=SC2086 # words
    dpkg-deb --root-owner-group $deb_compress -b "$work/deb" "$out/choria-rs_$version-${release}_$deb_arch.deb" >/dev/null
    echo "$out/choria-rs_$version-${release}_$deb_arch.deb"
}

make_rpm() {
    # Dashes part version and release.
    rpm_version=$(printf %s "$version" | tr - '~')
    cp -a "$stage" "$work/rpm-stage"
    install -D -m 0644 "$root/LICENSE" "$work/rpm-stage/usr/share/licenses/choria-rs/LICENSE"
    sed -e "s|@VERSION@|$rpm_version|" -e "s|@RELEASE@|$release|" -e "s|@MAINTAINER@|$maintainer|" \
        -e "s|@DATE@|$(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')|" \
        -e "/@DESCRIPTION@/{r $here/description" -e 'd}' "$here/choria-rs.spec" >"$work/choria-rs.spec"
    rpmbuild -bb --quiet --define "_topdir $work/rpm" --define "_rpmdir $work/rpms" --define "stage $work/rpm-stage" \
        --define "_binary_payload $rpm_payload" --define "_build_id_links none" --define "debug_package %{nil}" \
        --define "__os_install_post %{nil}" --define "use_source_date_epoch_as_buildtime 1" \
        --define "_buildhost choria" --target "$rpm_arch" "$work/choria-rs.spec" >/dev/null
    mv "$work/rpms/$rpm_arch/choria-rs-$rpm_version-$release.$rpm_arch.rpm" "$out/"
    echo "$out/choria-rs-$rpm_version-$release.$rpm_arch.rpm"
}

make_tar() {
    name=choria-rs-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$rpm_arch
    cp -a "$stage" "$work/$name"
    cp "$root/README.md" "$root/LICENSE" "$work/$name/"
    cp "$here/install.sh" "$root/packaging/user.sh" "$root/packaging/owners.sh" "$work/$name/"
    tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" |
        gzip -${level}n >"$out/$name.tar.gz"
    echo "$out/$name.tar.gz"
}

for kind in $kinds; do
    case $kind in
    deb | rpm | tar) "make_$kind" ;;
    *) echo "no package is called $kind: deb, rpm or tar" >&2 && exit 1 ;;
    esac
done
