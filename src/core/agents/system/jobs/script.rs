//! The only shell script that runs programs for agents. It is the same for all of them: the
//! program and what it is given are arguments of it, which no shell reads.

/// What stands between a daemon and work that is to survive it. Its arguments are the
/// directory of the job, then the program with its own. A program that is told to end has
/// its exit code kept, too.
///
/// What the program says goes by pipes to two copiers, which write it in parts named by
/// where they begin and throw away all but the last three: at least a megabyte stays, and
/// never more than three are there. A part is no longer than twice 512 KiB, as `dd` takes 64
/// times what is in the pipe. Whoever the program leaves running keeps its copier; the
/// program's end is told without waiting for that one. Exit code and number are written over
/// what is there, which a full disk has room for.
pub(super) const SUPERVISE: &str = r#"
job=$1
shift
keep() {
    from=0 before= older=
    while :; do
        part=$job/$1.$from size=0
        while [ "$size" -lt 524288 ]; do
            dd bs=8192 count=64 >>"$part" || break 2
            now=$(wc -c <"$part") || break 2
            [ $now -gt "$size" ] || break 2
            size=$((now))
        done
        [ -z "$older" ] || rm -f "$older"
        older=$before before=$part from=$((from + size))
    done
    # a full disk, a job that is forgotten: whoever writes is not to fail for that
    cat >/dev/null
    rm -f "$job/$1.pipe"
}
umask 022
# open both ways first: nothing waits for the other end then
exec 5<>"$job/stdout.pipe" 6<>"$job/stderr.pipe"
exec 3>"$job/stdout.pipe" 4>"$job/stderr.pipe" 7<"$job/stdout.pipe" 8<"$job/stderr.pipe"
# who takes down what is said does so to the end
trap '' HUP INT TERM
(umask 077; keep stdout) <&7 >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7<&- 8<&- &
(umask 077; keep stderr) <&8 >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7<&- 8<&- &
trap : TERM
trap - HUP INT
exec 5>&- 6>&- 7<&- 8<&-
(
    # who ends us from here on ends the program
    trap - TERM
    printf '%s\n' "$$" 1<>"$job/pid" || exit 126
    exec "$@"
) </dev/null >&3 2>&4 3>&- 4>&-
code=$?
exec 3>&- 4>&-
turns=75
while [ "$turns" -gt 0 ] && { [ -e "$job/stdout.pipe" ] || [ -e "$job/stderr.pipe" ]; }; do
    turns=$((turns - 1))
    sleep 0.02
done
printf '%s\n' "$code" 1<>"$job/exit"
exit "$code"
"#;
