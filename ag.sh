cd /tmp/mach
N() { ./enter n1 "$@"; }; B() { echo "alice$ $*"; ./enter broker su - alice -c "$*"; }
n() { L=$(wc -l < /tmp/mach/n1-server.log); }
s() { sleep ${1:-3}; echo "-- log:"; tail -n +$((L+1)) /tmp/mach/n1-server.log; }
A=/etc/choria/plugins/mcollective/agent
B 'choria filemgr -f /tmp/mach/touched touch; ls -la /tmp/mach/touched; choria rpc choria_util result request=abc; choria rpc choria_util result; choria rpc hello greet name=Ada -I n1.example.net --json | head -20'
echo "## not executable"; n; N chmod 644 $A/hello; s; B 'choria rpc hello greet name=Ada -I n1.example.net'; 
echo "## back"; n; N chmod 755 $A/hello; s
echo "## writable by all"; n; N chmod 777 $A/hello; s; N chmod 755 $A/hello; n; s
echo "## writable dir"; n; N chmod 777 $A; s; N chmod 755 $A
echo "## json broken"; n; N bash -c "cp $A/hello.json /tmp/mach/h.json; sed -i 's/\"actions\": \[/\"actions\": /' $A/hello.json"; s;  B 'choria rpc hello greet name=Ada -I n1.example.net'; N cp /tmp/mach/h.json $A/hello.json
echo "## failing program"; n; N bash -c "printf '#!/bin/sh\necho no such disk >&2; exit 3\n' > $A/hello"; s; B 'choria rpc hello greet name=Ada -I n1.example.net'
echo "## fails on request only"; n; N bash -c "printf '#!/bin/sh\ncase \$CHORIA_EXTERNAL_PROTOCOL in *activation*) echo {\\\\\"activate\\\\\": true} > \$CHORIA_EXTERNAL_REPLY;; *) echo no such disk >&2; exit 1;; esac\n' > $A/hello; cat $A/hello"; s; B 'choria rpc hello greet name=Ada -I n1.example.net; choria rpc helo greet'
echo "## timeout"; n; N bash -c "sed -i 's/echo no such disk >&2; exit 1/sleep 60/' $A/hello; sed -i 's/\"timeout\": 10/\"timeout\": 2/' $A/hello.json"; s; B 'time choria rpc hello greet name=Ada -I n1.example.net'
echo "## policy missing"; n; N bash -c "cd /home/alice && cp -r hello_x /dev/null 2>/dev/null; choria plugin new bye --language python >/dev/null; cp bye/mcollective/agent/bye* $A/"; s; B 'choria rpc bye greet name=Ada -I n1.example.net'
echo "## persistent"; n; N bash -c "cd /home/alice; printf 'policy default allow\n' > /etc/choria/policies/bye.policy; sed 's/\"provider\": \"external\"/\"provider\": \"external\", \"persistent\": true/' -i $A/bye.json; cat $A/bye.json | head -14"; s; B 'for i in 1 2 3; do choria rpc bye greet name=Ada -I n1.example.net | tail -2; done'; ps aux | grep 'agent/[b]ye'
echo "## secret"; N bash -c "sed 's/\"type\": \"string\",/\"type\": \"string\", \"secret\": true,/' -i $A/bye.json"; sleep 3; B 'rm -rf ~/.cache/choria; choria rpc bye greet name=Hush -I n1.example.net; choria history | head -5; choria history show last'; N tail -1 /var/log/choria-audit.log
