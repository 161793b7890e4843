#!/bin/sh
# Makes the user that brokers and provisioners run as, or says how: user.sh DESTDIR SYSUSERS-FILE
set -eu
if [ -n "$1" ]; then
    echo "packages make the user choria: systemd-sysusers $2"
elif getent passwd choria >/dev/null; then
    :
elif command -v systemd-sysusers >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "systemd-sysusers $2"
    systemd-sysusers "$2"
elif command -v useradd >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "useradd --system choria"
    groupadd --force --system choria
    useradd --system --gid choria --home-dir / --shell /usr/sbin/nologin choria
else
    echo "the user choria is missing, make it before you start a broker: systemd-sysusers $2"
fi
