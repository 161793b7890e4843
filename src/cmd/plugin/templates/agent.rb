#!/usr/bin/env ruby
# The agent @NAME@. Its interface is @NAME@.json beside it: what is not declared there
# never reaches this program, and inputs have been checked when they do.
#
# Run for each request, it finds the request in a file and leaves its reply in another.
# With "persistent": true in the interface's metadata it stays up instead, and reads a
# request from each line of its standard input; the same methods answer.
require "json"

ACTIONS = {
  # An action: gets the inputs and the request, returns outputs. Exceptions tell the caller.
  "greet" => lambda do |data, request|
    {"greeting" => "Hello #{data.fetch("name", "world")}", "from" => "@NAME@"}
  end
}.freeze

def answer(request)
  # false where this agent cannot work
  return {"activate" => true} if request["protocol"].end_with?(".activation_request")

  action = ACTIONS[request["action"]]
  return {"statuscode" => 2, "statusmsg" => "unknown action", "data" => {}} unless action

  {"statuscode" => 0, "statusmsg" => "OK", "data" => action.call(request["data"], request)}
rescue StandardError => e
  {"statuscode" => 1, "statusmsg" => e.message, "data" => {}}
end

if ENV.fetch("CHORIA_EXTERNAL_PROTOCOL", "").end_with?(".lines")
  $stdout.sync = true
  $stdin.each_line do |line|
    asked = JSON.parse(line)
    puts(JSON.generate("id" => asked["id"], "reply" => answer(asked["request"])))
  end
else
  request = JSON.parse(File.read(ENV.fetch("CHORIA_EXTERNAL_REQUEST")))
  File.write(ENV.fetch("CHORIA_EXTERNAL_REPLY"), JSON.generate(answer(request)))
end
