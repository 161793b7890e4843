# Waits until a run of a Puppet Task has ended on all nodes; whether it has.
#
# @param task_id id of the run
# @param nodes where it was begun
# @param tries how often to look
# @param sleep seconds before each look
# @param fail_ok whether nodes where it failed do not end the plan
plan choria::tasks::wait (
  String[1] $task_id,
  Choria::Nodes $nodes,
  Integer[1] $tries = 90,
  Integer[0] $sleep = 20,
  Boolean $fail_ok = false,
) {
  range(1, $tries).each |$look| {
    $results = choria::task(
      description => "status of the task ${task_id}, look ${look} of ${tries}",
      action => 'bolt_tasks.task_status',
      nodes => $nodes,
      silent => true,
      pre_sleep => $sleep,
      fail_ok => $fail_ok,
      properties => { task_id => $task_id },
    )
    unless $results.ok_set.any |$result| { $result['data']['completed'] == false } {
      return(true)
    }
  }
  false
}
