//! Signatures of AWS, version 4, in headers. Pure: the time comes in as an argument. Of
//! our own because all crates that make them bring a runtime of their own; what we ask is
//! one path without a query.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::keys::Keys;
use crate::core::text::hex;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is asked, as far as a signature covers it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    /// A path that needs no escapes.
    pub(super) path: &'a str,
    /// Names in small letters, in any order.
    pub(super) headers: Vec<(&'a str, &'a str)>,
    pub(super) body: &'a [u8],
}

/// `now` as the header `x-amz-date` says it.
pub(super) fn date(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The header `authorization`; `date` is what the header `x-amz-date` says, which is one of the
/// headers.
pub(super) fn authorization(
    mut asked: Asked<'_>,
    keys: &Keys,
    date: &str,
    region: &str,
    service: &str,
) -> String {
    asked.headers.sort_unstable();
    let names: Vec<&str> = asked.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let headers: String =
        asked.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let hash = |bytes: &[u8]| hex(digest(&SHA256, bytes).as_ref());
    let Asked { method, path, body, .. } = asked;
    let request = format!("{method}\n{path}\n\n{headers}\n{names}\n{}", hash(body));

    let day = date.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hash(request.as_bytes()));

    let sign = |key: &[u8], text: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        Zeroizing::new(tag.as_ref().to_vec())
    };
    let first = Zeroizing::new(format!("AWS4{}", keys.secret.expose()));
    let key = [day, region, service, "aws4_request"]
        .into_iter()
        .fold(Zeroizing::new(first.as_bytes().to_vec()), |key, part| sign(&key, part));
    let signature = hex(&sign(&key, &text));
    format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::text::Secret;

    const DATE: &str = "20150830T123600Z";
    const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";

    /// The vectors that AWS publishes.
    #[test]
    fn requests_are_signed_as_others_sign_them() {
        let keys = Keys {
            id: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            token: None,
        };
        let host = ("host", "example.amazonaws.com");
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", "13"),
            ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
        ];
        for (method, others, body, signed, signature) in [
            (
                "POST",
                &[][..],
                "",
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "GET",
                &[("x-amz-security-token", TOKEN)],
                "",
                "host;x-amz-date;x-amz-security-token",
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
            (
                "POST",
                &form,
                "Param1=value1",
                "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            ),
        ] {
            let headers = [&[host, ("x-amz-date", DATE)], others].concat();
            let asked = Asked { method, path: "/", headers, body: body.as_bytes() };
            assert_eq!(
                authorization(asked, &keys, DATE, "us-east-1", "service"),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders={signed}, Signature={signature}"
                )
            );
        }
        assert_eq!(date("2015-08-30T12:36:00Z".parse().unwrap()), DATE);
    }
}
