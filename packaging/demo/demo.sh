#!/usr/bin/env bash
# The main job on a real secured fleet: one broker, one operator, and five bare
# machines that a provisioner makes nodes, all over mutual TLS with a throw-away
# CA, on loopback only.
#
#   demo.sh CHORIA      runs the show, stops everything, fails unless all was as expected
#   KEEP=1 demo.sh ...  leaves the network up and says how to play with it
set -euo pipefail

choria=$(realpath "${1:?usage: demo.sh CHORIA-BINARY}")
# shellcheck source=packaging/demo/common.sh
source "$(dirname "$0")/common.sh"

say "A throw-away CA, one broker, one operator, and a provisioner that uses the CA"
"$choria" tool ca init --dir "$net/ca" --name "Choria demo CA" >/dev/null
"$choria" tool ca issue --dir "$net/ca" --broker broker.demo.example.net --loopback --out "$net/broker" >/dev/null
"$choria" tool ca issue --dir "$net/ca" --client operator --out "$net/operator" >/dev/null &
made=($!)
"$choria" tool ca issue --dir "$net/ca" --client provisioner --out "$net/provisioner" >/dev/null &
made+=($!)
# The first token makes the key that signs them; it is made anew below, when the port is known.
signer=$("$choria" tool ca provisioning-token --dir "$net/ca" --urls 127.0.0.1:1 --out "$net/token.jwt" |
    sed -n 's/.*jwt_verify_cert: //p')

cat >"$net/broker/broker.conf" <<CONF
identity = broker.demo.example.net
plugin.choria.broker_network = true
plugin.choria.network.listen_address = 127.0.0.1
plugin.choria.network.client_port = 0
plugin.choria.network.x509_permissions = by-name
plugin.choria.network.provisioning.signer_cert = $signer
plugin.choria.network.provisioning.client_password = demo-password
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
# Each by its own number: a plain wait would wait for the broker too.
for job in "${made[@]}"; do wait "$job"; done

# Puppet Tasks and a playbook, and who serves the tasks.
mkdir -p "$net/modules/demo/tasks" "$net/modules/demo/plans"
cat >"$net/modules/demo/tasks/greet.sh" <<'TASK'
#!/bin/sh
printf '{"greeting": "%s, %s"}\n' "${PT_word}" "${PT_name}"
TASK
cat >"$net/modules/demo/tasks/greet.json" <<'TASK'
{"description": "Greets somebody", "parameters": {"name": {"type": "String[1]"}, "word": {"type": "String", "default": "Hello"}}}
TASK
cat >"$net/modules/demo/tasks/wipe.sh" <<'TASK'
#!/bin/sh
echo "nobody should see this"
TASK
# Discovers nodes, runs a task on two at a time, tells a web service, and keeps what was said.
cat >"$net/modules/demo/plans/rolling.pp" <<'PLAN'
plan demo::rolling (String $country, String $lamp, String $notes) {
  $nodes = choria::discover(facts => ["country=${country}"], agents => ['bolt_tasks'])
  $said = $nodes.sort.choria::in_groups_of(2) |$group| {
    choria::run_playbook('choria::tasks::run', nodes => $group, task => 'demo::greet', inputs => { name => $country }, silent => true)
      .map |$result| { $result.bolt_task_result['greeting'] }
  }
  choria::task('webhook', uri => $lamp, data => { on => true })
  $store = { type => 'file', file => $notes, format => 'yaml', create => true }
  choria::data('greeting', $said.flatten.unique.join, $store)
  "${said.size} groups, all said ${choria::data('greeting', $store)}"
}
PLAN
"$choria" tasks serve --listen 127.0.0.1 --port 0 --config "$net/broker/broker.conf" "$net/modules" >"$net/tasks.log" 2>&1 &
pids+=($!)
wait_for "$net/tasks.log" "the server of tasks is listening"
tasks=$(sed -n 's/.*the server of tasks is listening address=127\.0\.0\.1:\([0-9]*\).*/\1/p' "$net/tasks.log")

# client NAME: how an operator or the provisioner connects.
client() {
    cat >"$net/$1/client.conf" <<CONF
identity = $1.demo.example.net
plugin.choria.middleware_hosts = 127.0.0.1:$port
plugin.choria.use_srv = false
plugin.choria.puppetserver_host = 127.0.0.1
plugin.choria.puppetserver_port = $tasks
plugin.security.provider = file
plugin.security.file.certificate = $net/$1/$1.mcollective.pem
plugin.security.file.key = $net/$1/$1.mcollective-key.pem
plugin.security.file.ca = $net/ca/ca.pem
CONF
}
client operator
client provisioner

# What nodes become: everybody the same, but for what they know of themselves.
# The operator may do everything rpcutil offers but read configuration items, and manage
# packages, services and files.
cat >"$net/provisioner/template.yaml" <<CONF
rules:
  - configuration:
      plugin.yaml: '{{ssldir}}/../facts.json'
      classesfile: '{{ssldir}}/../classes.txt'
      rpcaudit: 'true'
      plugin.rpcaudit.logfile: '{{ssldir}}/../audit.log'
      plugin.choria.status_file_path: '{{ssldir}}/../status.json'
      plugin.choria.agent_provider.mcorpc.libdir: '$net/plugins'
      plugin.choria.puppetserver_host: '127.0.0.1'
      plugin.choria.puppetserver_port: '$tasks'
      plugin.choria.tasks.cache_dir: '{{ssldir}}/../tasks-cache'
      plugin.choria.tasks.spool_dir: '{{ssldir}}/../tasks-spool'
      plugin.choria.machine.store: '{{ssldir}}/../machines'
      plugin.choria.machine.http_port: '{{facts.switches}}'
    action_policies:
      bolt_tasks.policy: |
        policy default deny
        deny	choria=operator.mcollective	demo::wipe	*	*
        allow	choria=operator.mcollective	*	*	*
      rpcutil.policy: |
        policy default deny
        deny	choria=operator.mcollective	get_config_item	*	*
        allow	choria=operator.mcollective	*	*	*
CONF
for agent in choria_util package service filemgr scout hello; do
    printf '      %s.policy: "policy default deny\\nallow\\tchoria=operator.mcollective\\t*\\t*\\t*\\n"\n' "$agent"
done >>"$net/provisioner/template.yaml"
mkdir "$net/plugins"
cat >"$net/provisioner/provisioner.yaml" <<CONF
token: $(cat "$net/ca/provisioning-access.txt")
broker_provisioning_password: demo-password
jwt_verify_cert: $signer
features: {jwt: true}
ca_dir: $net/ca
state_dir: $net/provisioner/state
template: $net/provisioner/template.yaml
CONF
MCOLLECTIVE_CERTNAME=provisioner.mcollective "$choria" provision run \
    --config "$net/provisioner/provisioner.yaml" --choria-config "$net/provisioner/client.conf" \
    >"$net/provisioner.log" 2>&1 &
pids+=($!)
wait_for "$net/provisioner.log" "watching for nodes"

# A check of web1 that its own machine remedies.
mkdir -p "$net/web1/machines"
"$choria" machine new --check shop --dir "$net/web1/machines" >/dev/null
sed -i 's/interval: 5m/interval: 1s/' "$net/web1/machines/shop/machine.yaml"
cat >"$net/web1/machines/shop/check.sh" <<'SCRIPT'
#!/bin/sh
[ ! -e ./closed ] || { echo "CRITICAL: the shop is closed"; exit 2; }
echo "OK: the shop is open"
SCRIPT
printf '#!/bin/sh\nrm ./closed\n' >"$net/web1/machines/shop/remedy.sh"

# A lamp of mail1, which is switched on over HTTP, at a port that nobody has.
switches=0
until [[ $switches -gt 0 ]] && ! (: <>"/dev/tcp/127.0.0.1/$switches") 2>/dev/null; do
    switches=$((20000 + RANDOM % 10000))
done
mkdir -p "$net/mail1/machines/lamp"
cat >"$net/mail1/machines/lamp/machine.yaml" <<'MACHINE'
name: lamp
version: 1.0.0
initial_state: dark
transitions:
  - {name: switch_on, from: [dark], destination: light}
  - {name: switch_off, from: [light], destination: dark}
watchers:
  - name: switch
    type: httpswitch
    success_transition: switch_on
    fail_transition: switch_off
    properties: {on_when: [light], off_when: [dark]}
MACHINE

say "Five bare machines: no certificate, no configuration, only a token"
node() {
    local name=$1.demo.example.net country=$2 role=$3 dir=$net/$1
    mkdir -p "$dir"
    printf '{"country":"%s","role":"%s","cpus":%d,"switches":%d}\n' "$country" "$role" "$4" "${5:-0}" >"$dir/facts.json"
    printf 'base\nroles::%s\n' "$role" >"$dir/classes.txt"
    "$choria" tool ca provisioning-token --dir "$net/ca" --urls "127.0.0.1:$port" --facts "$dir/facts.json" \
        --out "$dir/provisioning.jwt" >/dev/null
    "$choria" server run --config "$dir/server.conf" --provisioning-token "$dir/provisioning.jwt" \
        --identity "$name" >"$net/$1.log" 2>&1 &
    pids+=($!)
}
unset MCOLLECTIVE_CERTNAME
node web1 mt web 4
node web2 mt web 8
node db1 uk db 16
node db2 de db 16
node mail1 mt mail 2 "$switches"
for name in web1 web2 db1 db2 mail1; do
    wait_for "$net/$name.log" "waiting to be provisioned"
done
for name in web1 web2 db1 db2 mail1; do
    # for the second time: as a member
    wait_for "$net/$name.log" "configured: Wrote"
    wait_for "$net/$name.log" "answering requests agents=.*" 2
done
grep -h "provisioned node=" "$net/provisioner.log" | sed 's/^/    /'
echo "five nodes have got their certificates and configuration and are members now"

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
say "Machines are managed: packages, services, files"
if there /usr/bin/{apt-get,yum,dnf,zypper} /sbin/apk /usr/sbin/pkg; then
    show 0 "5 / 5" rpc package status package=bash "${config[@]}"
fi
show 0 "/etc/hosts" rpc filemgr status file=/etc/hosts -I web1.demo.example.net "${config[@]}"
ln -s "$choria" "$net/mco"
if there /run/systemd/system /run/openrc /usr/sbin/service /sbin/service; then
    run=$net/mco show 0 "5 / 5" service status cron "${config[@]}"
fi
say "An agent of your own, in whatever language, is there at once"
language=python
command -v python3 >/dev/null || language=shell
(cd "$net" && "$choria" plugin new hello --language "$language" >/dev/null)
cp -r "$net/hello/mcollective" "$net/plugins"
wait_for "$net/web1.log" "hosting an agent from disk, new.*agent=hello"
show 0 "Ada" rpc hello greet name=Ada -I web1.demo.example.net "${config[@]}"
say "A Puppet Task on all of them, without Puppet"
show 0 "Hello, Ada" tasks run demo::greet --name Ada -v -y "${config[@]}"
say "The node decides about each task by its name"
show 2 "not authorized to run Bolt Task demo::wipe" tasks run demo::wipe -I web1.demo.example.net "${config[@]}"
say "A playbook: tasks on groups of nodes, one group after the other; a web service, here a lamp, is told, and notes are taken"
lamp=http://127.0.0.1:$switches/choria/machine/switch/v1/lamp/switch
show 0 "2 groups, all said Hello, mt" playbook run demo::rolling --country mt --lamp "$lamp" --notes "$net/notes.yaml" \
    --modulepath "$net/modules" "${config[@]}"
show 0 "light" machine list -I mail1.demo.example.net "${config[@]}"
say "A check fails, and its own machine puts it right"
show 0 "Triggered 1 check on 1 node" scout trigger --check shop -I web1.demo.example.net "${config[@]}"
"$choria" scout watch "${config[@]}" >"$net/watch.log" 2>&1 &
pids+=($!)
wait_for "$net/watch.log" "Waiting for events"
printf '\n%s$ touch closed; %s scout watch%s\n' "$green" "${choria##*/}" "$plain"
touch "$net/web1/machines/shop/closed"
wait_for "$net/watch.log" "CRITICAL => UNKNOWN"
wait_for "$net/watch.log" "UNKNOWN => OK"
grep -e "=>" -e "is closed" "$net/watch.log" | head -n 6
show 0 "CR" scout status web1.demo.example.net "${config[@]}"
say "What the policy of the node denies does not happen"
show 2 "You are not authorized to call this agent or action" \
    rpc rpcutil get_config_item item=identity -I web1.demo.example.net "${config[@]}"
say "What happened is in the node's audit log, what was denied in its own log"
for line in "$net/web1/audit.log:\"action\":\"ping\"" "$net/web1.log:denied"; do
    file=${line%%:*} text=${line#*:}
    printf '\n%s$ grep %q %s%s\n' "$green" "$text" "${file#"$net"/}" "$plain"
    if ! grep "$text" "$file" | tail -n 1; then
        printf '%sdemo: no such line%s\n' "$red" "$plain"
        failures=$((failures + 1))
    fi
done
if grep -q '"action":"get_config_item"' "$net/web1/audit.log"; then
    printf '%sdemo: the denied action is in the audit log%s\n' "$red" "$plain"
    failures=$((failures + 1))
fi
say "What this binary was built with"
show 0 "Provisioning Profile" buildinfo

if [[ $failures -gt 0 ]]; then
    printf '\n%sdemo: %s of the above was not as expected%s\n' "$red" "$failures" "$plain"
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
# stop it with:
kill ${pids[*]}; rm -rf $net
TEXT
    exit 0
fi
say "All was as it should be; everything is stopped."
