//! Handshakes by the TLS configurations of providers.

use super::*;

/// Runs a handshake in memory; `Err` is what either side says.
pub(super) fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &'static str,
) -> Result<ServerConnection, String> {
    let mut client = ClientConnection::new(client.clone(), ServerName::try_from(name).unwrap())
        .map_err(|e| e.to_string())?;
    let mut server = ServerConnection::new(server.clone()).map_err(|e| e.to_string())?;
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).map_err(|e| e.to_string())?;
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).map_err(|e| e.to_string())?;
            server.process_new_packets().map_err(|e| format!("server: {e:?}"))?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).map_err(|e| e.to_string())?;
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).map_err(|e| e.to_string())?;
            client.process_new_packets().map_err(|e| format!("client: {e:?}"))?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(server)
}

#[test]
fn both_sides_of_a_connection_prove_who_they_are() {
    let site = Site::new();
    let broker = site.provider(Kind::Broker, "broker.example.net");
    let node = site.provider(Kind::Node, "n1.example.net");
    let (client, server) = (node.client_tls().unwrap(), broker.server_tls().unwrap());
    let connection = handshake(&client, &server, "broker.example.net").unwrap();
    let leaf = connection.peer_certificates().unwrap().first().unwrap().clone();
    assert_eq!(Certificate::parse(&leaf).unwrap().common_name, "n1.example.net");
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    handshake(&client, &server, "127.0.0.1").unwrap();
    handshake(&client, &server, "::1").unwrap();

    let refused = handshake(&client, &server, "other.example.net").unwrap_err();
    assert!(refused.contains("NotValidForName"), "{refused}");
    // A node's certificate does not make it a broker.
    let as_broker = node.server_tls().unwrap();
    let refused = handshake(&client, &as_broker, "n1.example.net").unwrap_err();
    assert!(refused.contains("client: InvalidCertificate"), "{refused}");
    // Somebody else's CA, on either side.
    let stranger = Site::new();
    let (their_client, their_server) = (
        stranger.provider(Kind::Node, "n1.example.net").client_tls().unwrap(),
        stranger.provider(Kind::Broker, "broker.example.net").server_tls().unwrap(),
    );
    assert!(handshake(&client, &their_server, "broker.example.net").unwrap_err().contains("UnknownIssuer"));
    assert!(handshake(&their_client, &server, "broker.example.net").unwrap_err().starts_with("client"));
}

#[test]
fn a_peer_without_certificate_is_let_through_and_known_to_have_none() {
    let site = Site::new();
    let broker = site.provider(Kind::Broker, "b1");
    let roots = pem::certificates(site.ca.certificate_pem().as_bytes()).unwrap();
    let mut store = rustls::RootCertStore::empty();
    store.add(roots[0].clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let server = broker.server_tls().unwrap();
    let connection = handshake(&Arc::new(client), &server, "localhost").unwrap();
    assert!(connection.peer_certificates().is_none());
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
}

#[test]
fn puppets_old_certificates_are_known_by_their_common_name() {
    let site = Site::new();
    // As `puppet cert` made them: a common name and nothing else.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Puppet.Example.net");
    let ca_key = fs::read_to_string(site.ca.dir().join("ca-key.pem")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(
        site.ca.certificate_pem(),
        rcgen::KeyPair::from_pem(&ca_key).unwrap(),
    )
    .unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let (cert_file, key_file) = (site.dir.path().join("old.pem"), site.dir.path().join("old-key.pem"));
    fs::write(&cert_file, certificate).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    let text = settings("puppet", &cert_file, &key_file, &site.ca.certificate_file());
    let server = provider(Role::Broker, &text).unwrap().server_tls().unwrap();

    let strict = site.issue(Kind::Node, "n1");
    let legacy = format!("{strict}plugin.security.support_legacy_certificates = true\n");
    let client = |text: &str| provider(Role::Server, text).unwrap().client_tls().unwrap();
    handshake(&client(&legacy), &server, "puppet.example.net").unwrap();
    let refused = handshake(&client(&legacy), &server, "other.example.net").unwrap_err();
    assert!(refused.contains("NotValidForName"), "{refused}");
    let refused = handshake(&client(&strict), &server, "puppet.example.net").unwrap_err();
    assert!(refused.contains("NotValidForName"), "{refused}");
}

#[test]
fn configured_suites_and_curves_are_the_ones_used() {
    let site = Site::new();
    let broker = site.provider(Kind::Broker, "b1");
    let text = site.issue(Kind::Node, "n1");
    let text = format!(
        "{text}plugin.security.cipher_suites = TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n\
         plugin.security.ecc_curves = CurveP384\n"
    );
    let client = provider(Role::Server, &text).unwrap().client_tls().unwrap();
    let connection = handshake(&client, &broker.server_tls().unwrap(), "localhost").unwrap();
    let group = connection.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::secp384r1);
    let suites = client.crypto_provider().cipher_suites.iter().filter(|suite| suite.tls13().is_none());
    assert_eq!(
        suites.map(|suite| suite.suite()).collect::<Vec<_>>(),
        [rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
    );
}
