#!/bin/sh
# Runs when the check is CRITICAL. Put what helps here; where it ends with 0 the check is
# UNKNOWN until it looks again.
echo "nothing is mended yet" >&2
exit 1
