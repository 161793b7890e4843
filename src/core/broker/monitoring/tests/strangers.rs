//! Who sees what, with peers that a test machine does not have.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::core::broker::monitoring::{TokenFile, service};
use crate::core::files;

const TOKEN: &str = "a-token-that-is-long-enough";

/// What `peer` gets for `path`, with more headers.
fn asked(pages: &axum::Router, peer: &str, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = Request::builder().uri(path).header("Host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let pages = TowerToHyperService::new(crate::core::web::pages_for(pages, peer.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let response = pages.call(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    })
}

#[test]
fn names_are_for_loopback_and_for_tokens() {
    let broker = Broker::start(tls_options(X509Options::default())).unwrap();
    let mut client =
        Raw::tls(broker.local_addr(), ca().client(Some(ca().issue("alice.mcollective")))).unwrap();
    client.login(",\"name\":\"alice-laptop\"");
    client.send("SUB for.alice.only 1\r\n");
    client.sync();
    let mut gone = Raw::tls(broker.local_addr(), ca().client(Some(ca().issue("bob.mcollective")))).unwrap();
    gone.login(",\"name\":\"bobs-laptop\"");
    drop(gone);
    until("the end of a connection", || broker.view().closed(|_| true).len() == 1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    files::write_atomic(&file, format!("{TOKEN}\n").as_bytes(), files::SECRET).unwrap();
    let subject = Arc::new(Monitored {
        view: broker.view(),
        process: Arc::new(Process {
            about: MonitoringOptions {
                config_file: "/secret/path".to_owned(),
                tokens: Some(TokenFile::new(file).unwrap()),
                ..MonitoringOptions::default()
            },
            started: jiff::Timestamp::now(),
            denied: Default::default(),
        }),
        address: loopback(),
        requests: Default::default(),
        places: Arc::new(tokio::sync::Semaphore::new(4)),
    });
    let pages = service::router(subject.clone());
    let right = format!("Bearer {TOKEN}");
    let told = |peer: &str, headers: &[(&str, &str)]| -> String {
        ["/connz?auth=1&subs=detail&state=all", "/subsz?subs=1", "/choria/", "/varz", "/metrics"]
            .iter()
            .map(|path| {
                let (status, text) = asked(&pages, peer, path, headers);
                assert_eq!(status, StatusCode::OK, "{path}: {text}");
                text
            })
            .collect()
    };
    let secrets = [
        "alice.mcollective",
        "alice-laptop",
        "bobs-laptop",
        "for.alice.only",
        "/secret/path",
        "tls_peer_certs",
    ];
    for (peer, headers, named) in [
        ("127.0.0.1", &[][..], true),
        ("::1", &[], true),
        ("192.0.2.7", &[], false),
        ("::ffff:192.0.2.7", &[], false),
        ("127.0.0.1", &[("X-Forwarded-For", "192.0.2.7")], false),
        ("192.0.2.7", &[("Authorization", &right)], true),
        ("127.0.0.1", &[("X-Forwarded-For", "192.0.2.7"), ("Authorization", &right)], true),
    ] {
        let text = told(peer, headers);
        for secret in secrets {
            assert_eq!(text.contains(secret), named, "{peer} {headers:?}: {secret}");
        }
        // what is no name is told to everybody
        for number in ["\"num_subscriptions\":1", "\"connections\":1", "\"num_connections\":2"] {
            assert!(text.contains(number), "{peer}: {number} is missing: {text}");
        }
    }
    for path in ["/connz?user=alice.mcollective", "/subsz?test=for.alice.only&subs=1"] {
        assert_eq!(asked(&pages, "192.0.2.7", path, &[]).0, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(
            asked(&pages, "192.0.2.7", path, &[("Authorization", &right)]).0,
            StatusCode::OK,
            "{path}"
        );
    }
    let before = subject.process.denied.count();
    let wrong = ["Bearer a-token-that-is-long-enougH", "Bearer ", "Basic YTpi", TOKEN];
    for shown in wrong {
        for peer in ["192.0.2.7", "127.0.0.1"] {
            let (status, text) = asked(&pages, peer, "/varz", &[("Authorization", shown)]);
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{shown}");
            assert!(!text.contains("server_id"), "{text}");
        }
    }
    assert_eq!(subject.process.denied.count() - before, 2 * wrong.len() as u64);
    let metrics = asked(&pages, "127.0.0.1", "/metrics", &[]).1;
    assert!(metrics.contains("choria_broker_monitoring_denied_total{identity=\"\"} 8\n"), "{metrics}");
}
