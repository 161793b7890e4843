#!/bin/sh
# Makes a tarball that runs on Linux of the last ten years: portable.sh TARGET-DIRECTORY
#
# The program is linked against the symbols of an old C library, those of 2012 (Red Hat 7),
# whatever this machine has. The linker comes from the Python package index, once.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$1
oldest=2.17
triple=$(uname -m)-unknown-linux-gnu

environment=$target/portable
if ! cmp -s "$here/portable.txt" "$environment/installed"; then
    mkdir -p "$environment"
    python3 -m venv --clear "$environment/python" ||
        { echo "install Python's venv first: apt-get install python3-venv" >&2; exit 1; }
    "$environment/python/bin/pip" install --quiet -r "$here/portable.txt"
    cp "$here/portable.txt" "$environment/installed"
fi
cd "$root"
PATH=$environment/python/bin:$PATH CARGO_TARGET_DIR=$target \
    cargo zigbuild --locked --profile "${PROFILE:-dist}" --bin choria --target "$triple.$oldest"
binary=$target/$triple/${PROFILE:-dist}/choria
"$here/symbols.sh" "$binary" $oldest
rm -f "$target"/packages/choria-rs-*-linux-*.tar.gz
BINARY=$binary "$here/build.sh" "$target/packages" tar
