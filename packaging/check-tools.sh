#!/bin/sh
# Makes sure the build has what it needs: installs it as root or in CI, says the
# one command that does everywhere else. With argument `test`, also what the
# tests need: Python and Node.js, for the NATS clients that others wrote,
# Prometheus, which reads the broker's metrics, cfssl, jq and Ruby, for helpers
# of the provisioner as people write them, a clock that can be stepped, systemd,
# which reads our units, and nginx, which stands before our pages.
set -eu

missing=""
packages="gcc libc6-dev make git"
for tool in cc make git; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ "${1:-}" = test ]; then
    packages="$packages python3 python3-venv nodejs npm prometheus golang-cfssl jq ruby faketime systemd nginx-light"
    for tool in python3 node npm prometheus promtool cfssl jq ruby faketime systemd-analyze nginx; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    # Debian has the module apart from the interpreter
    python3 -c "import venv, ensurepip" >/dev/null 2>&1 || missing="$missing python3-venv"
fi
if ! command -v cargo >/dev/null 2>&1; then
    echo "choria: Rust is missing, install it with rustup" >&2
    exit 1
fi
if [ -n "$missing" ]; then
    install="apt-get install -y --no-install-recommends $packages"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -q && $install
    elif [ -n "${CI:-}" ] && sudo -n true 2>/dev/null; then
        sudo apt-get update -q && sudo $install
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
