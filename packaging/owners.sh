#!/bin/sh
# Lets the user choria read what its daemons read: owners.sh DESTDIR SYSCONFDIR
set -eu
if [ -n "$1" ] || [ "$(id -u)" != 0 ] || ! getent group choria >/dev/null; then
    echo "for whom packages make: chgrp -R choria $2/choria/broker.conf $2/choria-provisioner"
    exit 0
fi
chgrp choria "$2/choria/broker.conf"
chgrp -R choria "$2/choria-provisioner"
