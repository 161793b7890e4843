#!/bin/sh
# Tries check-tools.sh on machines that have this and lack that: a directory of
# stand-ins is all that it finds, and a stand-in for apt-get writes down what it is
# asked for and makes it appear.
set -eu

script=$(cd "$(dirname "$0")" && pwd)/check-tools.sh
world=$(mktemp -d "${TMPDIR:-/tmp}/choria-check-tools.XXXXXX")
trap 'rm -rf "$world"' EXIT
trap 'exit 130' INT TERM
bin=$world/bin
log=$world/log
count=0
failures=0
build='cc headers make git'
test="$build python3 venv prometheus promtool prometheus-alertmanager nginx cfssl jq ruby mcollective faketime zsh fish systemd-analyze logrotate puppet puppetdb puppetserver pg_ctlcluster etcd dnf zypper createrepo_c rc-service ping ip strip dpkg-deb rpmbuild lintian rpmlint java mvn node npm"

# stand_in NAME BODY: a program of that name in the machine.
stand_in() {
    printf '#!/bin/sh\n%s\n' "$2" >"$bin/$1"
    chmod 0755 "$bin/$1"
}

# machine TOOL...: a new one, with cargo and with these tools; its user is root.
machine() {
    rm -rf "$bin" "$log" "$world/sbin" "$world/maker" "$world/nothing-comes"
    mkdir -p "$bin" "$world/sbin"
    : >"$log"
    uid=0 ci=""
    stand_in id 'echo "$UID_HERE"'
    stand_in cargo "case \$1 in clippy) [ -e $bin/.clippy ] ;; fmt) [ -e $bin/.fmt ] ;; esac"
    : >"$bin/.clippy" && : >"$bin/.fmt"
    stand_in rustup "echo \"rustup \$*\" >>$log; : >$bin/.\$3"
    stand_in apt-get "$apt_get"
    for tool in "$@"; do add "$tool"; done
}

# add TOOL: as if its package had just been installed.
add() {
    case $1 in
    headers | venv | mcollective) : >"$bin/.$1" ;;
    cc) stand_in cc "[ -e $bin/.headers ]" ;;
    python3) stand_in python3 "[ -e $bin/.venv ]" ;;
    ruby) stand_in ruby "[ -e $bin/.mcollective ]" ;;
    *) stand_in "$1" : ;;
    esac
}

# What stands in for apt-get. `maker` in the world: Node.js comes from its maker, whose
# package holds npm and conflicts with Debian's.
apt_get=$(cat <<STAND_IN
PATH=$PATH
[ "\$1" = install ] || { echo "\$1" >>$log; exit 0; }
shift
echo "install \$*" >>$log
[ ! -e $world/nothing-comes ] || exit 0
there() { printf '#!/bin/sh\n%s\n' "\$2" >$bin/\$1; chmod 0755 $bin/\$1; }
for word in "\$@"; do
    case \$word in
    -*) ;;
    gcc) there cc '[ -e $bin/.headers ]' ;;
    libc6-dev) : >$bin/.headers ;;
    python3) there python3 '[ -e $bin/.venv ]' ;;
    python3-venv) : >$bin/.venv ;;
    ruby) there ruby '[ -e $bin/.mcollective ]' ;;
    mcollective-common) : >$bin/.mcollective ;;
    prometheus) there prometheus :; there promtool : ;;
    prometheus-alertmanager) there prometheus-alertmanager : ;;
    golang-cfssl) there cfssl : ;;
    systemd) there systemd-analyze : ;;
    iproute2) there ip : ;;
    binutils) there strip : ;;
    dpkg) there dpkg-deb : ;;
    rpm) there rpmbuild : ;;
    puppet-agent) there puppet : ;;
    puppetdb) there puppetdb : ;;
    puppetserver) there puppetserver : ;;
    postgresql) there pg_ctlcluster : ;;
    etcd-server) there etcd : ;;
    createrepo-c) there createrepo_c : ;;
    openrc) there rc-service : ;;
    iputils-ping) there ping : ;;
    default-jre-headless) there java : ;;
    maven) there mvn : ;;
    nodejs) there node :; [ ! -e $world/maker ] || there npm : ;;
    npm) [ ! -e $world/maker ] || { echo "nodejs : Conflicts: npm" >&2; exit 100; }; there npm : ;;
    make | git | nginx | jq | faketime | zsh | fish | logrotate | dnf | zypper | lintian | rpmlint) there \$word : ;;
    *) echo "no package is called \$word" >&2; exit 100 ;;
    esac
done
STAND_IN
)

# without TOOL... : what `make test` needs, less these.
without() {
    for tool in $test; do
        case " $* " in *" $tool "*) ;; *) printf '%s ' "$tool" ;; esac
    done
}

# Runs the script as this machine's user; its words are in $said, its end in $code.
run() {
    code=0
    said=$(env -i PATH="$bin" UID_HERE="$uid" CI="$ci" CHECK_TOOLS_SBIN=":$world/sbin" \
        /bin/sh "$script" "$@" 2>&1) || code=$?
}

# holds WHAT CODE ASKED [SAID]: how it ended, the packages apt-get was asked for (a line
# of them each time), and words that it said. Everything but the packages has to be as it is always.
holds() {
    count=$((count + 1))
    options='-y --no-install-recommends --no-remove --no-upgrade'
    asked=$(sed -n "s/^install $options //p" "$log")
    bad=""
    [ "$code" = "$2" ] || bad="ended with $code, not $2"
    [ "$asked" = "$3" ] || bad="$bad; asked for '$asked', not '$3'"
    [ "$(grep -c '^install' "$log")" = "$(grep -c "^install $options " "$log")" ] || bad="$bad; other options"
    case $said in *"${4:-}"*) ;; *) bad="$bad; does not say '$4'" ;; esac
    if [ "$code" != 0 ] && [ "$(printf '%s\n' "$said" | grep -c '^choria: ')" != 1 ]; then
        bad="$bad; is not one sentence"
    fi
    [ -n "$bad" ] || return 0
    failures=$((failures + 1))
    printf 'check-tools: %s: %s\n%s\n' "$1" "${bad#; }" "$said" >&2
}

machine $build; run
holds "the build's tools are there" 0 ""

machine $test; run test
holds "everything is there" 0 ""
[ ! -s "$log" ] || { echo "check-tools: apt-get ran for nothing" >&2; failures=$((failures + 1)); }

machine; run
holds "a bare machine builds" 0 "gcc libc6-dev make git"

machine; run test
holds "a bare machine tests" 0 "gcc libc6-dev make git python3 python3-venv prometheus prometheus-alertmanager nginx golang-cfssl jq ruby mcollective-common faketime zsh fish systemd logrotate puppet-agent puppetdb puppetserver postgresql etcd-server dnf zypper createrepo-c openrc iputils-ping iproute2 binutils dpkg rpm lintian rpmlint default-jre-headless maven nodejs
npm"

machine; : >"$world/maker"; run test
holds "a bare machine, Node.js from its maker" 0 "gcc libc6-dev make git python3 python3-venv prometheus prometheus-alertmanager nginx golang-cfssl jq ruby mcollective-common faketime zsh fish systemd logrotate puppet-agent puppetdb puppetserver postgresql etcd-server dnf zypper createrepo-c openrc iputils-ping iproute2 binutils dpkg rpm lintian rpmlint default-jre-headless maven nodejs"

machine $(without prometheus promtool cfssl); : >"$world/maker"; run test
holds "Node.js of its maker is there, other things are not" 0 "prometheus golang-cfssl"

for pair in "jq jq" "ruby ruby mcollective-common" "mcollective mcollective-common" "faketime faketime" "systemd-analyze systemd" "cfssl golang-cfssl" \
    "promtool prometheus" "prometheus prometheus" "nginx nginx" "venv python3-venv" "headers libc6-dev" \
    "npm npm" "mvn maven" "make make" "git git"; do
    machine $(without "${pair% *}"); run test
    holds "only ${pair% *} is missing" 0 "${pair#* }"
done

machine $(without nginx); stand_in nginx :; mv "$bin/nginx" "$world/sbin/nginx"; run test
holds "nginx is where servers are" 0 ""

machine $(without npm); : >"$world/maker"; run test
holds "Node.js of its maker without npm" 1 "npm" "install npm from where that Node.js came"

machine $(without jq npm); : >"$world/maker"; run test
holds "the same, and something else is missing" 1 "jq
npm" "install npm from where that Node.js came"

machine $(without jq cfssl); uid=1000; run test
holds "a user's machine" 1 "" \
    "missing: cfssl jq, install with: sudo apt-get install -y --no-install-recommends --no-remove --no-upgrade golang-cfssl jq"

machine $(without jq); uid=1000 ci=true; stand_in sudo '[ "$1" != -n ] || shift; exec "$@"'; stand_in true :; run test
holds "a user's machine of CI" 0 "jq"

machine $(without jq); uid=1000; stand_in sudo 'exec "$@"'; run test
holds "a user who could is asked first" 1 "" "install with: sudo apt-get install"

machine $(without jq); rm "$bin/apt-get"; run test
holds "a machine of another kind" 1 "" "missing: jq"

machine $(without jq); : >"$world/nothing-comes"; run test
holds "the package does not bring it" 1 "jq" "still missing after the installation: jq"

machine $build; rm "$bin/cargo"; run
holds "no Rust" 1 "" "Rust is missing"

machine $build; rm "$bin/.clippy"; run
holds "no clippy" 0 ""
grep -q '^rustup component add clippy$' "$log" || { echo "check-tools: no clippy" >&2; failures=$((failures + 1)); }

machine $build; rm "$bin/.fmt" "$bin/rustup"; run
holds "no formatting, no rustup" 1 "" "cargo fmt is missing, install with: rustup component add rustfmt"

if [ "$failures" -gt 0 ]; then
    echo "check-tools: $failures of $count machines are not as they should be" >&2
    exit 1
fi
echo "check-tools: $count machines are as they should be"
