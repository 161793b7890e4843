//! The only shell script that runs programs for agents. It is the same for all of them: the
//! program and what it is given are arguments of it, which no shell reads.

/// What stands between a daemon and work that is to survive it. Its arguments are the
/// directory of the job, then the program with its own. A program that is told to end has
/// its exit code kept, too.
pub(super) const SUPERVISE: &str = r#"
job=$1
shift
umask 022
trap : TERM
echo $$ >"$job/pid"
"$@" </dev/null >>"$job/stdout" 2>>"$job/stderr"
echo $? >"$job/exit.new"
mv -f "$job/exit.new" "$job/exit"
"#;
