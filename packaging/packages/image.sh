#!/bin/sh
# Makes a container image of a tarball: image.sh TARBALL DIR
#
# DIR becomes an OCI image layout, which podman, skopeo and the like copy as oci:DIR. No
# daemon and no other image is needed: the libraries that the program was linked with come
# from this machine. The same tarball on the same machine makes the same image.
set -eu

tarball=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
name=$(basename "$tarball" .tar.gz)
version=$(printf %s "$name" | sed 's/^choria-rs-\(.*\)-linux-[^-]*$/\1/')
case $name in
*-x86_64) architecture=amd64 ;;
*-aarch64) architecture=arm64 ;;
*) echo "$tarball does not say its architecture" >&2 && exit 1 ;;
esac
# The user that the image runs as; a number, for those who want to know that it is not root.
user=4222

work=$(mktemp -d "${TMPDIR:-/tmp}/choria-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
umask 022
mkdir "$work/root"
tar -C "$work" -xzf "$tarball"
cp -a "$work/$name/usr" "$work/$name/etc" "$work/root/"
epoch=$(stat -c %Y "$work/$name/README.md")

# What the program is linked with, where it looks for it.
ldd "$work/root/usr/bin/choria" 2>/dev/null | grep -o '/[^ ]*' | sort -u | while read -r library; do
    mkdir -p "$work/root$(dirname "$library")"
    cp -L "$library" "$work/root$library"
done
rm -rf "$work/root/etc/logrotate.d" "$work/root/usr/lib/systemd" "$work/root/usr/lib/sysusers.d"
mkdir -p "$work/root/tmp" "$work/root/var/lib" "$work/root/var/log" "$work/root/etc/ssl/certs"
chmod 1777 "$work/root/tmp"
printf 'root:x:0:0:root:/:/sbin/nologin\nchoria:x:%s:%s:Choria:/:/sbin/nologin\n' $user $user >"$work/root/etc/passwd"
printf 'root:x:0:\nchoria:x:%s:\n' $user >"$work/root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$work/root/etc/nsswitch.conf"
# For the HTTPS of helpers and releases; what is the network's own is not among them.
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -e "$bundle" ]; then
        cp -L "$bundle" "$work/root/etc/ssl/certs/ca-certificates.crt"
        break
    fi
done

digest() { sha256sum "$1" | cut -d ' ' -f 1; }

# blob FILE: into the layout; says its descriptor's digest and size
blob() {
    hash=$(digest "$1")
    size=$(stat -c %s "$1")
    mv "$1" "$work/layout/blobs/sha256/$hash"
    printf '"digest":"sha256:%s","size":%s' "$hash" "$size"
}

mkdir -p "$work/layout/blobs/sha256"
# What the image's user has to read is its group's.
of_user='./etc/choria/broker.conf ./etc/choria-provisioner'
pack() { tar -C "$work/root" --sort=name --owner=0 --numeric-owner --mtime="@$epoch" "$@"; }
# shellcheck disable=SC2086,SC2046 # lists
pack --group=0 $(printf -- ' --exclude=%s' $of_user) -cf "$work/layer" .
# shellcheck disable=SC2086
pack --group=$user -rf "$work/layer" $of_user
content=$(digest "$work/layer")
case ${COMPRESS:-xz} in gzip) gzip -1n "$work/layer" ;; *) gzip -9n "$work/layer" ;; esac
layer=$(blob "$work/layer.gz")
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
labels="\"org.opencontainers.image.title\":\"choria\",\"org.opencontainers.image.version\":\"$version\",\"org.opencontainers.image.licenses\":\"Apache-2.0\""
printf '{"created":"%s","architecture":"%s","os":"linux","config":{"User":"%s:%s","ExposedPorts":{"4222/tcp":{}},"Env":["PATH=/usr/bin"],"Entrypoint":["/usr/bin/choria"],"Cmd":["--help"],"WorkingDir":"/","StopSignal":"SIGTERM","Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"%s","created_by":"packaging/packages/image.sh"}]}' \
    "$created" "$architecture" $user $user "$labels" "$content" "$created" >"$work/config"
config=$(blob "$work/config")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",%s}],"annotations":{%s}}' \
    "$config" "$layer" "$labels" >"$work/manifest"
manifest=$(blob "$work/manifest")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}' \
    "$manifest" "$architecture" "$version" >"$work/layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/layout/oci-layout"
rm -rf "$out/blobs" "$out/index.json" "$out/oci-layout"
mv "$work/layout"/* "$out/"
echo "$out: choria $version for $architecture, $manifest" | cut -c 1-200
