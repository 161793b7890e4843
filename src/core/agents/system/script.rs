//! The only shell script that runs programs for agents. It is the same for all of them: the
//! program and what it is given are arguments of it, which no shell reads.

/// What stands between a daemon and work that is to survive it. Its arguments are the
/// directory of the job, bytes to keep of each output, then the program with its own. The
/// exit code lands in `exit` as soon as the program ends, also while something it has left
/// running still holds its outputs.
pub(super) const SUPERVISE: &str = r#"
job=$1 most=$2
shift 2
umask 022
trap : TERM
echo $$ >"$job/pid"
limited() {
    head -c "$most"
    exec cat >/dev/null
}
{
    {
        { "$@" 3>&-; echo $? >"$job/exit.new"; mv -f "$job/exit.new" "$job/exit"; } 2>&3 3>&- |
            limited >"$job/stdout" 3>&-
    } 3>&1 >/dev/null </dev/null | limited >"$job/stderr"
} </dev/null >/dev/null 2>&1
"#;
