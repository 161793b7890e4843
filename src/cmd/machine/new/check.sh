#!/bin/sh
# How full the file system of / is, as a Nagios plugin says it: a line, and numbers behind a |.
warn=${1:-90}
used=$(df -P / | while read -r _ _ _ _ percent _; do last=${percent%\%}; echo "$last"; done | tail -n 1)
if [ "$used" -ge 98 ]; then state=CRITICAL code=2; elif [ "$used" -ge "$warn" ]; then state=WARNING code=1; else state=OK code=0; fi
echo "$state: / is $used% full|used=$used%;$warn;98"
exit "$code"
