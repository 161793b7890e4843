//! Requests that come by loopback and are not of this machine: another site's
//! page in a browser here, and the real nginx before the pages.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::{free_port, get, request};
use crate::network::Network;
use crate::process::{Daemon, until};

const PAGE: &str = "/connz?state=closed&auth=1";

fn named(text: &str) -> bool {
    assert!(text.contains("200 OK") && text.contains("\"num_connections\":1"), "{text}");
    text.contains("alice")
}

/// A broker with monitoring that alice has been at.
fn network(lines: &str) -> (Network, u16) {
    let port = free_port();
    let lines = format!(
        "plugin.choria.network.x509_permissions = by-name\nplugin.choria.stats_port = {port}\n{lines}"
    );
    let network = Network::start_with(&lines);
    network.alice().run(&["ping"]).code(3);
    (network, port)
}

#[test]
fn by_names_of_other_sites() {
    let (_network, port) = network("plugin.choria.stats_hosts = stats.example.net\n");
    let asked = |host: &str, more: &str| {
        request(port, &format!("GET {PAGE} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"))
    };
    for host in ["localhost", "127.0.0.1", "stats.example.net"] {
        assert!(named(&asked(&format!("{host}:{port}"), "")), "{host}");
    }
    for host in ["evil.example.com", "localhost.evil.example.com"] {
        assert!(!named(&asked(&format!("{host}:{port}"), "")), "{host}");
    }
    for header in ["X-Forwarded-Host: a", "X-Forwarded-Proto: https", "Forwarded: for=192.0.2.1"] {
        assert!(!named(&asked("localhost", &format!("{header}\r\n"))), "{header}");
    }
}

/// nginx with what it does by default, before `port`; and where it listens.
fn nginx(network: &Network, port: u16, more: &str) -> (Daemon, u16) {
    let dir = network.path("nginx");
    std::fs::create_dir_all(&dir).expect("a directory");
    until("nginx to listen", || {
        let front = free_port();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\nclient_body_temp_path {dir}/body;\nproxy_temp_path {dir}/proxy;\n\
             fastcgi_temp_path {dir}/f;\nuwsgi_temp_path {dir}/u;\nscgi_temp_path {dir}/s;\n\
             server {{\nlisten 127.0.0.1:{front};\nlocation / {{\nproxy_pass http://127.0.0.1:{port};\n{more}}}\n}}\n}}\n",
            dir = dir.display(),
        );
        let file: PathBuf = network.file("nginx/nginx.conf", &text);
        let mut command = Command::new("nginx");
        // Debian has it where only root's PATH looks.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).arg("-p").arg(&dir).arg("-c").arg(&file);
        let daemon = Daemon::start("nginx", command);
        let listens = || std::net::TcpStream::connect(("127.0.0.1", front)).is_ok();
        // Somebody else may have taken the port meanwhile: then with another.
        until("nginx to listen or to end", || {
            let ended = !daemon.matching(0, &["emerg"]).is_empty();
            (ended || listens()).then_some(!ended)
        })
        .then_some((daemon, front))
    })
}

#[test]
fn through_the_nginx_of_debian() {
    let files = tempfile::tempdir().expect("a directory");
    let tokens = files.path().join("tokens");
    std::fs::write(&tokens, "a-token-for-the-test\n").expect("a file");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let (network, port) = network(&format!("plugin.choria.stats_token_file = {}\n", tokens.display()));
    assert!(named(&get(port, PAGE)), "a program of this machine");
    for more in ["", "proxy_set_header X-Forwarded-For $remote_addr;\n", "proxy_set_header Host $host;\n"] {
        let (_nginx, front) = nginx(&network, port, more);
        let with = |more: &str| {
            request(
                front,
                &format!("GET {PAGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"),
            )
        };
        assert!(!named(&with("")), "{more}");
        assert!(named(&with("Authorization: Bearer a-token-for-the-test\r\n")), "{more}");
    }
}

/// A proxy that speaks like a program of this machine cannot be told from one;
/// where there is such a one, names are for tokens alone.
#[test]
fn through_a_proxy_that_says_nothing() {
    let (network, port) = network("plugin.choria.stats_names = token\n");
    let (_nginx, front) = nginx(&network, port, "proxy_http_version 1.1;\n");
    assert!(!named(&get(front, PAGE)));
    assert!(!named(&get(port, PAGE)));
}
