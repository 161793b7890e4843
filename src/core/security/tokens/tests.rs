//! Tokens of the original, and its verdicts.

use serde_json::Value;

use super::provisioning::PURPOSE;
use super::*;

fn vectors() -> Value {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/go-made-tokens.json"));
    serde_json::from_str(text).unwrap()
}

fn verdict(key: &VerifyKey, token: &str, now: i64) -> Result<ProvisioningClaims, TokenError> {
    let claims: ProvisioningClaims = key.verify(token)?;
    claims.check(now)?;
    Ok(claims)
}

fn organization(vectors: &Value) -> VerifyKey {
    VerifyKey::from_hex(vectors["organization_issuer"]["public"].as_str().unwrap()).unwrap()
}

fn rsa(vectors: &Value) -> SigningKey {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rsa.pem");
    std::fs::write(&file, vectors["rsa"]["private_key_pem"].as_str().unwrap()).unwrap();
    SigningKey::from_file(&file).unwrap()
}

#[test]
fn tokens_are_judged_as_by_the_original() {
    let vectors = vectors();
    let now = vectors["time"].as_i64().unwrap();
    let organization = organization(&vectors);
    let mut judged = 0;
    for vector in vectors["tokens"].as_array().unwrap() {
        let (name, token) = (vector["name"].as_str().unwrap(), vector["jwt"].as_str().unwrap());
        let read = unverified::<ProvisioningClaims>(token)
            .and_then(|claims| claims.standard.check_purpose(PURPOSE).map(|()| claims));
        assert_eq!(read.is_ok(), vector["unverified"]["provisioning"] == true, "{name}: {read:?}");
        let verified = verdict(&organization, token, now);
        assert_eq!(verified.is_ok(), vector["with_org_key"]["provisioning"] == true, "{name}: {verified:?}");
        judged += 1;
    }
    assert!(judged > 100);
}

#[test]
fn an_rsa_key_reads_what_it_signed_and_nothing_else() {
    let vectors = vectors();
    let now = vectors["time"].as_i64().unwrap();
    let pem = vectors["rsa"]["private_key_pem"].as_str().unwrap();
    let pair = rcgen::KeyPair::from_pem(&pkcs8(pem)).unwrap();
    let key = VerifyKey::from_pem(pair.public_key_pem().as_bytes()).unwrap();
    for vector in vectors["tokens"].as_array().unwrap() {
        let Some(expected) = vector.get("with_rsa_key") else { continue };
        let verified = verdict(&key, vector["jwt"].as_str().unwrap(), now);
        assert_eq!(verified.is_ok(), expected["provisioning"] == true, "{}: {verified:?}", vector["name"]);
    }
    let claims = ProvisioningClaims { token: "secret".into(), ..Default::default() };
    let token = rsa(&vectors).sign(&claims).unwrap();
    assert_eq!(key.verify::<ProvisioningClaims>(&token).unwrap().token, "secret");
    assert_eq!(
        organization(&vectors).verify::<ProvisioningClaims>(&token).map(|_| ()),
        Err(TokenError::Signature)
    );
}

fn pkcs8(pkcs1: &str) -> String {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    let rustls_pki_types::PrivateKeyDer::Pkcs1(der) =
        crate::core::security::pem::private_key(pkcs1.as_bytes()).unwrap()
    else {
        panic!("a PKCS#1 key")
    };
    let pair = aws_lc_rs::rsa::KeyPair::from_der(der.secret_pkcs1_der()).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    crate::core::security::pem::encode("PRIVATE KEY", der.as_ref())
}

#[test]
fn claims_keep_their_meaning() {
    let vectors = vectors();
    let token = vectors["tokens"].as_array().unwrap().iter().find(|t| t["name"] == "provisioning").unwrap();
    let claims: ProvisioningClaims = unverified(token["jwt"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&claims).unwrap(), token["claims"]);
    assert_eq!(claims.urls, "prov1.example.net:4222,prov2.example.net:4222");
    assert!(claims.check_usable().is_ok() && claims.trust().is_empty());
    assert!(!format!("{claims:?}").contains("s3cret"));
}

#[test]
fn unusable_tokens_say_why() {
    let usable = ProvisioningClaims {
        token: "t".into(),
        urls: "b:4222".into(),
        standard: StandardClaims { subject: PURPOSE.into(), ..Default::default() },
        ..Default::default()
    };
    assert_eq!(usable.check_usable(), Ok(()));
    let changed = |change: fn(&mut ProvisioningClaims)| {
        let mut claims = usable.clone();
        change(&mut claims);
        claims.check_usable().unwrap_err().to_string()
    };
    assert_eq!(changed(|c| c.token.clear()), "the token is not usable: it has no access token (cht)");
    assert!(changed(|c| c.urls.clear()).contains("neither brokers (chu)"));
    assert!(changed(|c| c.srv_domain = "d".into()).contains("both brokers (chu)"));
    assert!(changed(|c| c.standard.purpose = "choria_server".into()).contains("is for \"choria_server\""));
}

#[test]
fn the_trust_a_token_carries_comes_back() {
    let trust = BrokerTrust { ca: "-----BEGIN".into(), pin: "ab".repeat(32) };
    let mut claims = ProvisioningClaims::default();
    claims.set_trust(&trust);
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let verify = VerifyKey::from_hex(&key.public_hex().unwrap()).unwrap();
    let read: ProvisioningClaims = verify.verify(&key.sign(&claims).unwrap()).unwrap();
    assert_eq!(read.trust(), trust);
}

#[test]
fn a_server_token_is_a_link_of_its_issuers_chain() {
    let vectors = vectors();
    let now = vectors["time"].as_i64().unwrap();
    let seed = crate::core::text::unhex(vectors["keys"]["chain_issuer"]["seed"].as_str().unwrap()).unwrap();
    let key = SigningKey::from_seed(&seed).unwrap();
    let token = vectors["tokens"].as_array().unwrap().iter().find(|t| t["name"] == "chain_issuer").unwrap();
    let issuer: server::ChainIssuer = unverified(token["jwt"].as_str().unwrap()).unwrap();
    let claims = ServerClaims { identity: "n1".into(), organization: "choria".into(), ..Default::default() };
    let made = claims.clone().issue(&key, Some(&issuer), now, 3600, [1; 16]).unwrap();
    let read: ServerClaims = VerifyKey::from_hex(&issuer.standard.public_key).unwrap().verify(&made).unwrap();
    assert!(read.standard.check_time(now).is_ok() && read.standard.check_purpose(server::PURPOSE).is_ok());
    assert_eq!(read.standard.expires, Some(now + 3600));
    assert_eq!(ksuid::time_of(&read.standard.id), Some(now));
    let (above, signature) = read.standard.trust_chain.rsplit_once('.').unwrap();
    assert_eq!(above, issuer.standard.trust_chain);
    let signature = crate::core::text::unhex::<64>(signature).unwrap();
    let public = crate::core::text::unhex::<32>(&issuer.standard.public_key).unwrap();
    aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public)
        .verify(format!("{}.{above}", read.standard.id).as_bytes(), &signature)
        .unwrap();
    // never beyond the issuer's own time
    let forever = claims.clone().issue(&key, Some(&issuer), now, i64::MAX, [1; 16]).unwrap();
    let read: ServerClaims = unverified(&forever).unwrap();
    assert_eq!(read.standard.expires, issuer.standard.expires);
    let other = SigningKey::from_seed(&[9; 32]).unwrap();
    assert!(claims.clone().issue(&other, Some(&issuer), now, 60, [1; 16]).is_err());
    let alone = claims.issue(&other, None, now, 60, [1; 16]).unwrap();
    let read: ServerClaims = unverified(&alone).unwrap();
    assert_eq!(
        (read.standard.issuer.as_str(), read.standard.trust_chain.as_str()),
        ("Choria Provisioner", "")
    );
}

#[test]
fn reading_tokens_never_panics() {
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let verify = VerifyKey::from_hex(&key.public_hex().unwrap()).unwrap();
    let good = key.sign(&ProvisioningClaims::default()).unwrap();
    bolero::check!().with_iterations(2000).for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let _ = unverified::<ProvisioningClaims>(&text);
        // a good token with something changed is not believed
        let mut token = good.clone().into_bytes();
        for (place, byte) in token.iter_mut().zip(input) {
            *place ^= byte & 1;
        }
        let token = String::from_utf8_lossy(&token);
        assert!(verify.verify::<ProvisioningClaims>(&token).is_err() || token == good);
    });
}
