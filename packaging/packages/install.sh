#!/bin/sh
# Installs what lies beside it: install.sh [DIR], default /. Programs and manual are
# replaced; of configuration only what is not there is written.
set -eu

case ${1:-} in -*)
    echo "usage: $0 [DIR]   below which all is installed, default /" >&2
    exit 1
    ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
root=${1:-}
[ -n "$root" ] || [ "$(id -u)" = 0 ] || { echo "root installs: sudo $0" >&2; exit 1; }
cd "$here"
find etc usr -type d | sort | while read -r dir; do
    [ -d "$root/$dir" ] || install -d -m "$(stat -c %a "$dir")" "$root/$dir"
done
find etc usr ! -type d | sort | while read -r file; do
    case $file in
    etc/*)
        if [ -e "$root/$file" ]; then
            echo "kept $root/$file"
            continue
        fi
        ;;
    esac
    # Beside the old one first: a program that runs cannot be written to.
    cp -P "$file" "$root/$file.choria-new"
    [ -L "$file" ] || chmod "$(stat -c %a "$file")" "$root/$file.choria-new"
    mv -f "$root/$file.choria-new" "$root/$file"
done
# Where Debian's zsh looks.
if [ -e "$root/etc/debian_version" ]; then
    install -d -m 0755 "$root/usr/share/zsh/vendor-completions"
    ln -sf ../site-functions/_choria "$root/usr/share/zsh/vendor-completions/_choria"
fi
./user.sh "$root" /usr/lib/sysusers.d/choria.conf
./owners.sh "$root" /etc
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
echo "installed: choria setup broker --help, choria setup node --help"
