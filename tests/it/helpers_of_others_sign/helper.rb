# A helper of the provisioner in the manner of 2018: `helper.rb CFSSL-ADDRESS
# CA-FILE`. Whatever cfssl says on standard error is a reason to wait.
require "json"
require "open3"

cfssl, ca = ARGV
node = JSON.parse(STDIN.read)
answer = { "defer" => false, "msg" => "", "configuration" => {} }

out, err, status = Open3.capture3("cfssl", "sign", "-remote", cfssl, "-", :stdin_data => node["csr"]["csr"])

if status.success? && err.empty?
  ssldir = node["csr"]["ssldir"]
  facts = JSON.parse(node["inventory"])["facts"]
  answer["certificate"] = JSON.parse(out)["cert"]
  answer["ca"] = File.read(ca)
  answer["configuration"] = {
    "identity" => node["identity"],
    "loglevel" => "warn",
    "plugin.choria.middleware_hosts" => "broker.%s.example.net:4222" % facts["country"],
    "plugin.security.provider" => "file",
    "plugin.security.file.certificate" => File.join(ssldir, "certificate.pem"),
    "plugin.security.file.key" => File.join(ssldir, "private.pem"),
    "plugin.security.file.ca" => File.join(ssldir, "ca.pem"),
  }
else
  answer["defer"] = true
  answer["msg"] = "cfssl: %s" % err
end

puts JSON.generate(answer)
