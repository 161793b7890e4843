#!/usr/bin/ruby
# Runs one action of a Ruby agent: a request on standard input, its reply on standard
# output. Who may call, and the audit log, are the node's business.
require "json"
require "mcollective"

config = ARGV[ARGV.index("--config") + 1]
MCollective::Config.instance.loadconfig(config)
MCollective::Log.instance rescue nil

request = JSON.parse(STDIN.read)
message = {
  :agent => request["agent"], :requestid => request["requestid"], :senderid => request["senderid"],
  :callerid => request["callerid"], :collective => request["collective"], :ttl => request["ttl"],
  :msgtime => request["msgtime"],
  :body => {
    :agent => request["body"]["agent"], :action => request["body"]["action"],
    :data => Hash[request["body"]["data"].map { |name, value| [name.to_sym, value] }],
    :caller => request["body"]["caller"],
  },
}

name = request["agent"]
MCollective::PluginManager.loadclass("MCollective::Agent::#{name.capitalize}")
agent = MCollective::Agent.const_get(name.capitalize)
unless agent.activate?
  STDERR.puts("The agent #{name} is not active")
  exit(1)
end
puts(JSON.dump(agent.new.handlemsg(message, nil)))
