#!/usr/bin/env bash
# The main job on a real secured fleet: one broker, five nodes, one operator,
# all over mutual TLS with a throw-away CA, on loopback only.
#
#   demo.sh CHORIA      runs the show, stops everything, fails unless all was as expected
#   KEEP=1 demo.sh ...  leaves the network up and says how to play with it
set -euo pipefail

choria=$(realpath "${1:?usage: demo.sh CHORIA-BINARY}")
net=$(mktemp -d "${TMPDIR:-/tmp}/choria-demo.XXXXXX")
pids=()
failures=0

stop() {
    # Nodes first: a broker without connections has nobody to say goodbye to.
    local i
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    rm -rf "$net"
}
trap stop EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }

# wait_for FILE TEXT: until a log says so, at most 20 seconds.
wait_for() {
    local tries=200
    until grep -q "$2" "$1" 2>/dev/null; do
        ((tries--)) || { echo "demo: '$2' never came, this is $1:" >&2; cat "$1" >&2; exit 1; }
        sleep 0.1
    done
}

# show EXIT-CODE TEXT COMMAND...: echoes and runs a command, and holds its exit
# code and output against what the demo promises.
show() {
    local code=$1 text=$2 output status=0
    shift 2
    printf '\n\033[32m$ choria %s\033[0m\n' "$*"
    output=$("$choria" "$@" 2>&1) || status=$?
    printf '%s\n' "$output"
    if [[ $status -ne $code || $output != *"$text"* ]]; then
        printf '\033[31mdemo: expected exit code %s and "%s", got exit code %s\033[0m\n' "$code" "$text" "$status"
        failures=$((failures + 1))
    fi
}

say "A throw-away CA, one broker, five nodes, one operator"
"$choria" tool ca init --dir "$net/ca" --name "Choria demo CA" >/dev/null
"$choria" tool ca issue --dir "$net/ca" --broker broker.demo.example.net --loopback --out "$net/broker" >/dev/null
"$choria" tool ca issue --dir "$net/ca" --client operator --out "$net/operator" >/dev/null

cat >"$net/broker/broker.conf" <<CONF
identity = broker.demo.example.net
plugin.choria.broker_network = true
plugin.choria.network.listen_address = 127.0.0.1
plugin.choria.network.client_port = 0
plugin.choria.network.x509_permissions = by-name
plugin.choria.use_srv = false
plugin.security.provider = file
plugin.security.file.certificate = $net/broker/broker.demo.example.net.pem
plugin.security.file.key = $net/broker/broker.demo.example.net-key.pem
plugin.security.file.ca = $net/ca/ca.pem
CONF
"$choria" broker run --config "$net/broker/broker.conf" >"$net/broker.log" 2>&1 &
pids+=($!)
wait_for "$net/broker.log" "the broker is listening"
port=$(sed -n 's/.*the broker is listening address=127\.0\.0\.1:\([0-9]*\).*/\1/p' "$net/broker.log")
echo "broker.demo.example.net listens on 127.0.0.1:$port, mutual TLS, nodes bound to their names"

node() {
    local name=$1.demo.example.net country=$2 role=$3 dir=$net/$1
    "$choria" tool ca issue --dir "$net/ca" --node "$name" --out "$dir" >/dev/null
    mkdir -p "$dir/policies"
    printf '{"country":"%s","role":"%s","cpus":%d}\n' "$country" "$role" "$4" >"$dir/facts.json"
    printf 'base\nroles::%s\n' "$role" >"$dir/classes.txt"
    # The operator may do everything rpcutil offers but read configuration items.
    printf 'policy default deny\ndeny\tchoria=operator.mcollective\tget_config_item\t*\t*\nallow\tchoria=operator.mcollective\t*\t*\t*\n' \
        >"$dir/policies/rpcutil.policy"
    cat >"$dir/server.conf" <<CONF
identity = $name
plugin.choria.middleware_hosts = 127.0.0.1:$port
plugin.choria.use_srv = false
plugin.security.provider = file
plugin.security.file.certificate = $dir/$name.pem
plugin.security.file.key = $dir/$name-key.pem
plugin.security.file.ca = $net/ca/ca.pem
plugin.yaml = $dir/facts.json
classesfile = $dir/classes.txt
rpcaudit = true
plugin.rpcaudit.logfile = $dir/audit.log
plugin.choria.status_file_path = $dir/status.json
CONF
}
node web1 mt web 4 & made=($!)
node web2 mt web 8 & made+=($!)
node db1 uk db 16 & made+=($!)
node db2 de db 16 & made+=($!)
node mail1 mt mail 2 & made+=($!)
# Each by its own number: a plain wait would wait for the broker too.
for job in "${made[@]}"; do wait "$job"; done
unset MCOLLECTIVE_CERTNAME
for name in web1 web2 db1 db2 mail1; do
    "$choria" server run --config "$net/$name/server.conf" >"$net/$name.log" 2>&1 &
    pids+=($!)
done
for name in web1 web2 db1 db2 mail1; do
    wait_for "$net/$name.log" "answering requests"
done
echo "five nodes are connected: web1 web2 db1 db2 mail1 (.demo.example.net)"

cat >"$net/operator/client.conf" <<CONF
plugin.choria.middleware_hosts = 127.0.0.1:$port
plugin.choria.use_srv = false
plugin.security.provider = file
plugin.security.file.certificate = $net/operator/operator.mcollective.pem
plugin.security.file.key = $net/operator/operator.mcollective-key.pem
plugin.security.file.ca = $net/ca/ca.pem
CONF
export MCOLLECTIVE_CERTNAME=operator.mcollective
config=(--config "$net/operator/client.conf")
unset CHORIA_COMPAT_EXIT

say "Who is there?"
show 0 "5 replies" ping "${config[@]}"
say "Which nodes are in Malta?"
show 0 "mail1.demo.example.net" find -W country=mt "${config[@]}"
say "One action on all of them"
show 0 "5 / 5" rpc rpcutil ping "${config[@]}"
say "All about one of them"
show 0 "roles::db" rpc rpcutil inventory -I db1.demo.example.net "${config[@]}"
say "How are they spread?"
show 0 "mt found 3 times" facts country "${config[@]}"
say "What the policy of the node denies does not happen"
show 2 "You are not authorized to call this agent or action" \
    rpc rpcutil get_config_item item=identity -I web1.demo.example.net "${config[@]}"
say "What happened is in the node's audit log, what was denied in its own log"
for line in "$net/web1/audit.log:\"action\":\"ping\"" "$net/web1.log:denied"; do
    file=${line%%:*} text=${line#*:}
    printf '\n\033[32m$ grep %q %s\033[0m\n' "$text" "${file#"$net"/}"
    if ! grep "$text" "$file" | tail -n 1; then
        printf '\033[31mdemo: no such line\033[0m\n'
        failures=$((failures + 1))
    fi
done
if grep -q '"action":"get_config_item"' "$net/web1/audit.log"; then
    printf '\033[31mdemo: the denied action is in the audit log\033[0m\n'
    failures=$((failures + 1))
fi
say "What this binary was built with"
show 0 "Provisioning Profile" buildinfo

if [[ $failures -gt 0 ]]; then
    printf '\n\033[31mdemo: %s of the above was not as expected\033[0m\n' "$failures"
    exit 1
fi
if [[ ${KEEP:-} == 1 ]]; then
    trap - EXIT
    say "The network stays up. Play with it:"
    cat <<TEXT
export MCOLLECTIVE_CERTNAME=operator.mcollective
alias choria='$choria --config $net/operator/client.conf'
choria ping
choria find -S 'fact("cpus") > 4 && with("base")'
choria rpc rpcutil get_fact fact=cpus --table
choria tool event
$ stop it with:
kill ${pids[*]}; rm -rf $net
TEXT
    exit 0
fi
say "All was as it should be; everything is stopped."
