//! PEM text to DER. The only user of `rustls-pemfile`, which is archived
//! upstream: a successor is swapped in here.

use rustls_pemfile::{Item, read_one_from_slice};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// Most blocks read from one text.
const MAX_BLOCKS: usize = 4_096;

/// The blocks of `text` in order. Text between blocks and blocks with other
/// labels are passed over; `Err` holds what is malformed.
fn blocks(text: &[u8]) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut rest = text;
    loop {
        match read_one_from_slice(rest) {
            Ok(None) => return Ok(items),
            Ok(Some((item, tail))) => {
                items.push(item);
                rest = tail;
            }
            Err(e) => return Err(format!("malformed PEM: {}", told(&e))),
        }
        if items.len() > MAX_BLOCKS {
            return Err(format!("more than {MAX_BLOCKS} PEM blocks"));
        }
    }
}

fn told(error: &rustls_pemfile::Error) -> &'static str {
    use rustls_pemfile::Error;
    match error {
        Error::MissingSectionEnd { .. } => "a block has no END line",
        Error::IllegalSectionStart { .. } => "a BEGIN line is incomplete",
        Error::Base64Decode(_) => "a block is not base64",
    }
}

/// All certificates of `text`, in order; other blocks are passed over.
///
/// # Errors
/// What is malformed. Text without any PEM block is an empty list.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = blocks(text)?.into_iter().filter_map(|item| match item {
        Item::X509Certificate(der) => Some(der),
        _ => None,
    });
    Ok(certificates.collect())
}

/// Certificates of `text`, the first block of which must be one: what a
/// request carries. `None` for anything else.
pub fn leaf_first(text: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let items = blocks(text).ok()?;
    if !matches!(items.first(), Some(Item::X509Certificate(_))) {
        return None;
    }
    let certificates = items.into_iter().filter_map(|item| match item {
        Item::X509Certificate(der) => Some(der),
        _ => None,
    });
    Some(certificates.collect())
}

/// The first private key of `text`: PKCS#1, PKCS#8 or SEC1.
///
/// # Errors
/// What is malformed, or that there is no unencrypted key.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let encrypted = || {
        "the key is encrypted, and nobody is there to be asked for its passphrase: write it without one by \
         'openssl pkey -in FILE -out FILE.plain', mode 0600"
            .to_owned()
    };
    let holds = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    // The old form has a header for it and may look like a key.
    if holds(b"4,ENCRYPTED") {
        return Err(encrypted());
    }
    let key = blocks(text)?.into_iter().find_map(|item| match item {
        Item::Pkcs1Key(key) => Some(PrivateKeyDer::Pkcs1(key)),
        Item::Pkcs8Key(key) => Some(PrivateKeyDer::Pkcs8(key)),
        Item::Sec1Key(key) => Some(PrivateKeyDer::Sec1(key)),
        _ => None,
    });
    key.ok_or_else(|| match holds(b"-----BEGIN ENCRYPTED") {
        true => encrypted(),
        false => "holds no private key, which begins with -----BEGIN PRIVATE KEY-----".to_owned(),
    })
}

/// The first public key of `text` (SPKI); `None` without one.
pub fn public_key(text: &[u8]) -> Option<Vec<u8>> {
    blocks(text).ok()?.into_iter().find_map(|item| match item {
        Item::SubjectPublicKeyInfo(der) => Some(der.to_vec()),
        _ => None,
    })
}

/// All revocation lists of `text`, in order; other blocks are passed over.
///
/// # Errors
/// What is malformed.
pub fn revocation_lists(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let lists = blocks(text)?.into_iter().filter_map(|item| match item {
        Item::Crl(der) => Some(der),
        _ => None,
    });
    Ok(lists.collect())
}

/// `der` as one PEM block with `label`, lines of 64 characters.
pub fn encode(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|b| char::from(*b)));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
