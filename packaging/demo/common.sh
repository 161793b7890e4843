# What the demos have in common; sourced by them. Sets $net, a directory that goes with the script,
# and stops what is in $pids.
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

# Colours where there are some and nobody said no.
bold= green= red= plain=
if [[ -t 1 && ${TERM:-dumb} != dumb && -z ${NO_COLOR:-} ]]; then
    bold=$'\033[1m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'
fi

say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

# wait_for FILE TEXT [TIMES]: until a log says so, at most 20 seconds.
wait_for() {
    local tries=200
    until [[ $(grep -c "$2" "$1" 2>/dev/null) -ge ${3:-1} ]]; do
        ((tries--)) || { echo "demo: '$2' never came, this is $1:" >&2; cat "$1" >&2; exit 1; }
        sleep 0.1
    done
}

# show EXIT-CODE TEXT COMMAND...: echoes and runs a command, and holds its exit
# code and output against what the demo promises.
# `run` is the program, by another name than choria where it is set.
show() {
    local code=$1 text=$2 output status=0 program=${run:-$choria}
    shift 2
    printf '\n%s$ %s %s%s\n' "$green" "${program##*/}" "$*" "$plain"
    output=$("$program" "$@" 2>&1) || status=$?
    printf '%s\n' "$output"
    if [[ $status -ne $code || $output != *"$text"* ]]; then
        printf '%sdemo: expected exit code %s and "%s", got exit code %s%s\n' "$red" "$code" "$text" "$status" "$plain"
        failures=$((failures + 1))
    fi
}

# there FILE...: whether this machine has any of them.
there() {
    local file
    for file; do [[ -e $file ]] && return; done
    return 1
}
