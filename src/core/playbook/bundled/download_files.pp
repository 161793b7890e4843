# Has nodes fetch the files of a Puppet Task, fifty at a time.
#
# @param task the task
# @param files its files, as JSON
# @param nodes where
# @param tasks_environment environment of the task
# @param catch_errors whether nodes that fail do not end the plan
plan choria::tasks::download_files (
  String[1] $task,
  String[1] $files,
  Choria::Nodes $nodes,
  String[1] $tasks_environment = 'production',
  Boolean $catch_errors = false,
) {
  choria::task(
    description => "files of the task ${task}",
    action => 'bolt_tasks.download',
    nodes => $nodes,
    silent => true,
    batch_size => 50,
    batch_sleep_time => 1,
    tries => 2,
    try_sleep => 1,
    fail_ok => $catch_errors,
    properties => { task => $task, files => $files, environment => $tasks_environment },
  )
}
