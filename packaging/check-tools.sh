#!/bin/sh
# Makes sure the build has what it needs: installs what is missing, and only that,
# as root or in CI, and says the one command that does everywhere else. With
# argument `test`, also what the tests need: Python and Node.js, for the NATS
# clients that others wrote, Prometheus, which reads the broker's metrics, its Alertmanager, nginx,
# which stands before its pages, cfssl, jq and Ruby, for helpers of the provisioner
# as people write them, the classes of Ruby agents, a clock that can be stepped, zsh and fish, which complete
# our words, PuppetDB with its database, Puppet Server, which has tasks, systemd, which reads our units, logrotate, which moves our logs, Java and Maven, which bring Kafka, ip, which
# gives machines within this one a network, and what makes, installs and judges packages.
#
# What is there is never touched, wherever it came from: a tool that is found is
# not asked for, and nothing is removed or upgraded for the sake of another.
set -eu

# Servers live where a user's PATH does not look. (Empty in the test of this script.)
PATH=$PATH${CHECK_TOOLS_SBIN-:/usr/sbin:/sbin}

# What is looked for, and the Debian packages that provide it.
build_tools='
cc               gcc
c-headers        libc6-dev
make             make
git              git
'
# npm stands last: see install().
test_tools='
python3          python3
python3-venv     python3-venv
prometheus       prometheus
promtool         prometheus
prometheus-alertmanager prometheus-alertmanager
nginx            nginx
cfssl            golang-cfssl
jq               jq
ruby             ruby
mcollective      mcollective-common
faketime         faketime
zsh              zsh
fish             fish
systemd-analyze  systemd
logrotate        logrotate
puppet           puppet-agent
puppetdb         puppetdb
puppetserver     puppetserver
pg_ctlcluster    postgresql
etcd             etcd-server
dnf              dnf
zypper           zypper
createrepo_c     createrepo-c
rc-service       openrc
ping             iputils-ping
ip               iproute2
strip            binutils
dpkg-deb         dpkg
rpmbuild         rpm
lintian          lintian
rpmlint          rpmlint
java             default-jre-headless
mvn              maven
node             nodejs
npm              npm
'

# Whether a tool of the tables works; those that are no program are tried.
is_there() {
    case $1 in
    c-headers) printf '#include <stdlib.h>\n' | cc -x c -fsyntax-only - >/dev/null 2>&1 ;;
    # Debian has the module apart from the interpreter
    python3-venv) python3 -c 'import venv, ensurepip' >/dev/null 2>&1 ;;
    # a library for Ruby, without a program
    mcollective) ruby -e 'require "mcollective"' >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

# Sets $missing to the tools that are not there, and $packages to what provides them.
look() {
    missing="" packages=""
    while read -r tool package; do
        if [ -z "$tool" ] || is_there "$tool"; then
            continue
        fi
        missing="$missing $tool"
        case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
    done <<TOOLS
$tools
TOOLS
}

# What is named with these is installed if it is not there; all else stays as it is.
apt='apt-get install -y --no-install-recommends --no-remove --no-upgrade'

# Whether this process can install, and sets $sudo to how.
may_install() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        sudo=""
    elif [ -n "${CI:-}" ] && sudo -n true 2>/dev/null; then
        sudo=sudo
    else
        return 1
    fi
}

# Node.js first, npm only if it is still missing then: the package of Node.js's maker
# holds npm, and conflicts with Debian's of that name.
install() {
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -q
    others=${packages% npm}
    if [ -n "$others" ]; then
        # shellcheck disable=SC2086 # a list
        $sudo $apt $others
        look
    fi
    if [ "$packages" = " npm" ]; then
        if ! $sudo $apt npm; then
            echo "choria: npm is missing, and Debian's package of it does not go with the Node.js that is here:" \
                "install npm from where that Node.js came" >&2
            exit 1
        fi
        look
    fi
}

tools=$build_tools
[ "${1:-}" = test ] && tools=$build_tools$test_tools

if ! command -v cargo >/dev/null 2>&1; then
    echo "choria: Rust is missing, install it with rustup" >&2
    exit 1
fi
look
if [ -n "$missing" ]; then
    if ! may_install; then
        echo "choria: missing:$missing, install with: sudo $apt$packages" >&2
        exit 1
    fi
    install
    if [ -n "$missing" ]; then
        echo "choria: still missing after the installation:$missing; put them on the PATH" >&2
        exit 1
    fi
fi

for component in clippy fmt; do
    cargo "$component" --version >/dev/null 2>&1 && continue
    case $component in fmt) name=rustfmt ;; *) name=$component ;; esac
    if command -v rustup >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || [ -n "${CI:-}" ]; }; then
        rustup component add "$name"
    else
        echo "choria: cargo $component is missing, install with: rustup component add $name" >&2
        exit 1
    fi
done
