//! The JSON a hub and a leaf begin with: INFO and CONNECT.

use serde::{Deserialize, Serialize};

/// Most addresses taken from a hub, and most entries of a list of subjects.
const MOST: usize = 256;
/// Longest text taken from a hub.
const LONGEST: usize = 256;

/// What a hub says about itself. The first INFO comes unasked, the second one as the answer to CONNECT.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HubInfo {
    /// Unique id of the hub's process.
    pub server_id: String,
    /// Name of the hub.
    pub server_name: String,
    /// Its version.
    pub version: String,
    /// Its cluster.
    pub cluster: String,
    /// Text to be signed.
    pub nonce: String,
    /// TLS follows.
    pub tls_required: bool,
    /// It has streams.
    pub jetstream: bool,
    /// Largest payload it takes; 0 when it does not say.
    pub max_payload: usize,
    /// Number of this connection there.
    pub client_id: u64,
    /// Where else this hub's cluster takes leafs; absent on other ports.
    pub leafnode_urls: Option<Vec<String>>,
    /// A second INFO comes as the answer to CONNECT.
    pub info_on_connect: bool,
    /// This is that one.
    pub connect_info: bool,
    /// The account there.
    pub remote_account: String,
    /// It is about to close.
    pub ldm: bool,
    /// What may be subscribed.
    pub import: Option<Subjects>,
    /// What may be published.
    pub export: Option<Subjects>,
}

/// Lists of subjects in one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Subjects {
    /// These and no others, when present.
    pub allow: Option<Vec<String>>,
    /// Never these.
    pub deny: Option<Vec<String>>,
}

/// Why an INFO cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// Not such JSON.
    #[error("reading the hub's INFO failed: {0}")]
    Json(#[from] serde_json::Error),
    /// More than anybody needs.
    #[error("the hub's INFO has a list of more than {MOST} entries, or a text of more than {LONGEST} bytes")]
    Large,
}

impl HubInfo {
    /// Reads the body of INFO.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn decode(body: &[u8]) -> Result<Self, HelloError> {
        let info: Self = serde_json::from_slice(body)?;
        if info.fits() { Ok(info) } else { Err(HelloError::Large) }
    }

    fn fits(&self) -> bool {
        let texts = [
            &self.server_id,
            &self.server_name,
            &self.version,
            &self.cluster,
            &self.nonce,
            &self.remote_account,
        ];
        let limits = [&self.import, &self.export].into_iter().flatten();
        let lists = limits.flat_map(|list| [&list.allow, &list.deny]).chain([&self.leafnode_urls]).flatten();
        let fits = |list: &Vec<String>| list.len() <= MOST && list.iter().all(|text| text.len() <= LONGEST);
        texts.iter().all(|text| text.len() <= LONGEST) && lists.into_iter().all(fits)
    }
}

/// What a leaf says about itself. There must be no field `lang`: it makes a client of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Connect<'a> {
    /// Version.
    pub version: &'a str,
    /// Unique id of the process.
    pub server_id: &'a str,
    /// Name.
    pub name: &'a str,
    /// Cluster, which must be another than the hub's.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cluster: &'a str,
    /// HMSG is understood.
    pub headers: bool,
    /// Account here.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remote_account: &'a str,
    /// Protocol level, 1.
    pub protocol: u8,
    /// User's token of a credentials file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<&'a str>,
    /// Public key of the user, where the hub knows that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<&'a str>,
    /// Signature over the nonce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<&'a str>,
}

impl Connect<'_> {
    /// `CONNECT {json}␍␊`.
    pub fn line(&self) -> Vec<u8> {
        let mut line = b"CONNECT ".to_vec();
        // plain strings and numbers: serialising them into memory cannot fail
        let _ = serde_json::to_writer(&mut line, self);
        line.extend_from_slice(b"\r\n");
        line
    }
}
