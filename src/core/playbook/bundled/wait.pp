# Waits until a run of a Puppet Task has ended on all nodes; whether it has. Nodes that do not answer are
# looked at again.
#
# @param task_id id of the run
# @param nodes where it was begun
# @param tries how often to look
# @param sleep seconds before each look
# @param fail_ok whether nodes where it failed, or that do not answer at the last look, do not end the plan
plan choria::tasks::wait (
  String[1] $task_id,
  Choria::Nodes $nodes,
  Integer[1] $tries = 90,
  Integer[0] $sleep = 20,
  Boolean $fail_ok = false,
) {
  $silent = ['late', 'no_answer', 'not_connected', 'not_asked']
  range(1, $tries).each |$look| {
    $results = choria::task(
      description => "status of the task ${task_id}, look ${look} of ${tries}",
      action => 'bolt_tasks.task_status',
      nodes => $nodes,
      silent => true,
      pre_sleep => $sleep,
      fail_ok => $fail_ok,
      _catch_errors => true,
      properties => { task_id => $task_id },
    )
    $errors = $results.error_set.map |$result| { $result.error.details['class'] }
    $unknown = $errors.filter |$class| { $class in $silent }
    $running = $results.ok_set.any |$result| { $result['data']['completed'] == false }
    $is_over = $errors.size > $unknown.size or ($look == $tries and !$unknown.empty)
    if $is_over and !$fail_ok {
      $results.error_set.each |$result| { warning("${result.host}: ${result.error.message}") }
      fail($results.message)
    }
    if $unknown.empty and !$running {
      # who was not allowed to look, say, knows nothing
      return($errors.all |$class| { $class in ['failed', 'aborted'] })
    }
  }
  false
}
