# A helper of the provisioner: `helper.sh CFSSL-ADDRESS CA-FILE`. One node on
# standard input, what it becomes on standard output; jq and cfssl do the work.
cfssl=$1 ca=$2
node=$(mktemp) && trap 'rm -f "$node" "$node".*' EXIT
cat >"$node"
if ! jq -r .csr.csr "$node" | cfssl sign -remote "$cfssl" - >"$node.signed" 2>"$node.error"; then
    jq -n --rawfile why "$node.error" '{defer: true, msg: ("cfssl: " + $why)}'
    exit
fi
jq --slurpfile signed "$node.signed" --rawfile ca "$ca" '{
    defer: false, msg: "signed by cfssl",
    certificate: $signed[0].cert, ca: $ca,
    configuration: {
        identity: .identity,
        "plugin.choria.middleware_hosts": "127.0.0.1:4222",
        "plugin.choria.server.provision": "false",
        "plugin.security.provider": "file",
        "plugin.security.file.certificate": (.csr.ssldir + "/certificate.pem"),
        "plugin.security.file.key": (.csr.ssldir + "/private.pem"),
        "plugin.security.file.ca": (.csr.ssldir + "/ca.pem"),
        "plugin.yaml": ("/etc/choria/" + (.inventory | fromjson | .facts.country) + ".yaml")
    }
}' "$node"
