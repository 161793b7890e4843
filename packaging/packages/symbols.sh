#!/bin/sh
# The C library that a program needs at least: symbols.sh PROGRAM [OLDEST]; ends with 1
# where that is newer than OLDEST, and says by which symbols.
set -eu

needed=$(objdump -T "$1" | sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\))\{0,1\} *\(.*\)$/\1 \2/p' | sort -Vu)
most=$(printf '%s\n' "$needed" | tail -n 1 | cut -d ' ' -f 1)
echo "$1 needs glibc ${most:-of no version}"
[ -n "${2:-}" ] && [ -n "$most" ] || exit 0
if [ "$(printf '%s\n%s\n' "$most" "$2" | sort -V | tail -n 1)" != "$2" ]; then
    echo "which is newer than $2, by:" >&2
    printf '%s\n' "$needed" | while read -r version symbol; do
        [ "$(printf '%s\n%s\n' "$version" "$2" | sort -V | tail -n 1)" = "$2" ] || echo "  $symbol ($version)" >&2
    done
    exit 1
fi
