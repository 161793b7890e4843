#!/bin/sh
# The agent @NAME@. Its interface is @NAME@.json beside it: what is not declared there
# never reaches this program, and inputs have been checked when they do. It needs jq.
#
# The request is in a file, the reply goes to another. What is written to standard error
# stands in the node's log, and its last lines in the reply when this program fails.
set -eu
request=$CHORIA_EXTERNAL_REQUEST
reply=$CHORIA_EXTERNAL_REPLY

# input NAME: an input, empty when it was not given. Use it in quotes, always.
input() {
    jq -r --arg name "$1" '.data[$name] // empty' "$request"
}

case $CHORIA_EXTERNAL_PROTOCOL in
*.activation_request)
    # false where this agent cannot work
    echo '{"activate": true}' >"$reply"
    exit 0
    ;;
esac

case $(jq -r .action "$request") in
greet)
    name=$(input name)
    jq -n --arg greeting "Hello ${name:-world}" \
        '{statuscode: 0, statusmsg: "OK", data: {greeting: $greeting, from: "@NAME@"}}' >"$reply"
    ;;
*)
    echo '{"statuscode": 2, "statusmsg": "unknown action"}' >"$reply"
    ;;
esac
