# What became of a run of a Puppet Task.
#
# @param task_id id of the run
# @param nodes where it was begun
# @param fail_ok whether nodes where it failed are in the result and do not end the plan
plan choria::tasks::status (
  String[1] $task_id,
  Choria::Nodes $nodes,
  Boolean $fail_ok = false,
) {
  choria::task(
    description => "status of the task ${task_id}",
    action => 'bolt_tasks.task_status',
    nodes => $nodes,
    silent => true,
    fail_ok => $fail_ok,
    properties => { task_id => $task_id },
  )
}
