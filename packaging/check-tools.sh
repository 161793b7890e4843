#!/bin/sh
# Makes sure the build has what it needs: installs it as root or in CI, says the
# one command that does everywhere else.
set -eu

missing=""
for tool in cc make git; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if ! command -v cargo >/dev/null 2>&1; then
    echo "choria: Rust is missing, install it with rustup" >&2
    exit 1
fi
if [ -n "$missing" ]; then
    install="apt-get install -y gcc libc6-dev make git"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -q && $install
    else
        echo "choria: missing:$missing, install with: sudo $install" >&2
        exit 1
    fi
fi
for component in clippy fmt; do
    cargo "$component" --version >/dev/null 2>&1 && continue
    case $component in fmt) name=rustfmt ;; *) name=$component ;; esac
    if [ "$(id -u)" = 0 ] || [ -n "${CI:-}" ]; then
        rustup component add "$name"
    else
        echo "choria: cargo $component is missing, install with: rustup component add $name" >&2
        exit 1
    fi
done
