//! Registration data formats (spec 02 §9): what a node tells about itself
//! without being asked. Pure: bytes in, document out.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::core::protocol::v1::{Request, SecureRequest};

/// Agent that registration messages are addressed to.
pub const AGENT: &str = "registration";
/// Reply subject of registration messages; nobody listens there.
pub const NO_REPLY: &str = "dev.null";

/// A registration request of a node that has no key to sign with (spec 01 §2.2).
pub fn unsigned(request: &Request) -> SecureRequest {
    const TEXT: &str = "insecure registration";
    SecureRequest { message: request.encode(), signature: STANDARD.encode(TEXT), pubcert: TEXT.to_owned() }
}

#[derive(Serialize)]
struct FileContent<'a> {
    mtime: i64,
    file: &'a str,
    updated: bool,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zcontent: Option<String>,
}

#[derive(Serialize)]
struct InventoryContent {
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zcontent: Option<String>,
}

/// The `file_content` document of one file.
///
/// `mtime` is in unix seconds, `updated` says that it grew since the last time.
pub fn file_content(file: &str, content: &[u8], mtime: i64, updated: bool, compress: bool) -> String {
    let document = FileContent {
        mtime,
        file,
        updated,
        protocol: "choria:registration:filecontent:1",
        content: (!compress).then(|| STANDARD.encode(content)),
        zcontent: compress.then(|| STANDARD.encode(gzip(content))),
    };
    serde_json::to_string(&document).unwrap_or_default()
}

/// The `inventory_content` document; the uncompressed form holds the inventory
/// as an object, not as text.
pub fn inventory_content(inventory: &Value, compress: bool) -> String {
    let text = inventory.to_string();
    let document = InventoryContent {
        protocol: "choria:registration:inventorycontent:1",
        zcontent: compress.then(|| STANDARD.encode(gzip(text.as_bytes()))),
        content: if compress { None } else { RawValue::from_string(text).ok() },
    };
    serde_json::to_string(&document).unwrap_or_default()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::json;

    use super::*;

    fn gunzip(base64: &str) -> Vec<u8> {
        let mut out = vec![];
        flate2::read::GzDecoder::new(&STANDARD.decode(base64).unwrap()[..]).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn a_file_travels_in_one_of_two_forms() {
        let plain: Value =
            serde_json::from_str(&file_content("/etc/f.json", b"{}", 5, false, false)).unwrap();
        assert_eq!(
            plain,
            json!({"mtime":5,"file":"/etc/f.json","updated":false,"protocol":"choria:registration:filecontent:1","content":"e30="})
        );
        let packed: Value = serde_json::from_str(&file_content("/etc/f.json", b"{}", 5, true, true)).unwrap();
        assert_eq!(gunzip(packed["zcontent"].as_str().unwrap()), b"{}");
        assert!(packed.get("content").is_none());
    }

    #[test]
    fn an_inventory_is_an_object_or_gzip() {
        let inventory = json!({"agents":[],"facts":{"a":1}});
        let plain: Value = serde_json::from_str(&inventory_content(&inventory, false)).unwrap();
        assert_eq!(plain["content"], inventory);
        let packed: Value = serde_json::from_str(&inventory_content(&inventory, true)).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&gunzip(packed["zcontent"].as_str().unwrap())).unwrap(),
            inventory
        );
    }
}
