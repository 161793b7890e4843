# Runs a Puppet Task on nodes.
#
# @param nodes where
# @param task the task, such as module::name
# @param inputs what it is given
# @param background whether to begin it and not to wait for its end
# @param silent whether to say nothing of nodes where it goes well
# @param batch_size so many nodes at a time, 0 is all at once
# @param batch_sleep_time seconds between batches
# @param run_as the user of the nodes that it runs as
# @param tasks_environment environment of the task
# @param catch_errors whether nodes that fail are in the result and do not end the plan
plan choria::tasks::run (
  Choria::Nodes $nodes,
  String[1] $task,
  Hash[String, Any] $inputs = {},
  Boolean $background = false,
  Boolean $silent = false,
  Integer[0] $batch_size = 0,
  Integer[0] $batch_sleep_time = 2,
  Optional[String[1]] $run_as = undef,
  String[1] $tasks_environment = 'production',
  Boolean $catch_errors = false,
) {
  $about = choria::tasks::metadata($task, $tasks_environment)
  choria::tasks::validate_input($inputs, $about)
  $files = stdlib::to_json($about['files'])
  $parameters = $about.dig('metadata', 'parameters') ? { undef => {}, default => $about['metadata']['parameters'] }
  $defaults = $parameters.reduce({}) |$all, $one| {
    if $one[1] =~ Hash and 'default' in $one[1] { $all + { $one[0] => $one[1]['default'] } } else { $all }
  }
  # those that the task hides, and those that the plan does
  $hides = $parameters.filter |$name, $of| {
    $of =~ Hash and ($of['sensitive'] == true or ($of['type'] =~ String and $of['type'] =~ /\bSensitive\b/))
  }.keys
  $hidden_here = $inputs.filter |$name, $value| { stdlib::to_json($value) =~ Sensitive }.keys
  $secrets = unique($hides + $hidden_here)
  $given_inputs = stdlib::to_json($defaults + $inputs)

  choria::run_playbook(
    'choria::tasks::download_files',
    task => $task,
    files => $files,
    nodes => $nodes,
    tasks_environment => $tasks_environment,
    catch_errors => $catch_errors,
  )

  $given = { task => $task, files => $files, input => $given_inputs }
  # which of several programs runs is up to a node: each is given all
  $method = $about.dig('metadata', 'implementations') ? { undef => $about.dig('metadata', 'input_method'), default => undef }
  $as = $run_as ? { undef => {}, default => { run_as => $run_as } }
  $by = $method ? { undef => {}, default => { input_method => $method } }
  $hidden = empty($secrets) ? { true => {}, default => { sensitive => stdlib::to_json($secrets) } }
  $action = $background ? { true => 'bolt_tasks.run_no_wait', default => 'bolt_tasks.run_and_wait' }
  choria::task(
    description => "task ${task}",
    action => $action,
    nodes => $nodes,
    silent => $silent,
    batch_size => $batch_size,
    batch_sleep_time => $batch_sleep_time,
    fail_ok => $catch_errors,
    properties => $given + $as + $by + $hidden,
    # who goes on from a report is held to what is no secret of them
    _inputs => $defaults + $inputs,
  )
}
