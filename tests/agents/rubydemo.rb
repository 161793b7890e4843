module MCollective
  module Agent
    class Rubydemo < RPC::Agent
      activate_when { !File.exist?("/nonexistent/marker") }

      action "echo" do
        reply[:message] = request[:message]
        reply[:caller] = request.caller
        STDERR.puts("echoing")
      end

      action "fail" do
        reply[:message] = "before"
        reply.fail!("It cannot be done", 1)
      end

      action "crash" do
        raise("the gem cracked")
      end

      action "leave" do
        STDERR.puts("leaving")
        exit!(7)
      end

      action "hang" do
        sleep(600.5)
      end
    end
  end
end
