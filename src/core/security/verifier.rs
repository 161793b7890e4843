//! Is this request from who it says it is (spec 01 §9)?

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{CallerId, Certificate, NameList, SharedTrust, Trust, Usage, Validity, VerifyError, pem};
use crate::core::protocol::deferred::Deferred;
use crate::core::protocol::v1::{Request, SecureRequest};
use crate::core::text::shortened;

/// Something a [`RequestVerifier`] has found to be from who it says it is.
/// Nothing else can make one.
#[derive(Debug, Clone)]
pub struct Verified<T> {
    value: T,
    caller: CallerId,
    certname: String,
    privileged: bool,
}

impl<T> Verified<T> {
    /// Who calls.
    pub fn caller(&self) -> &CallerId {
        &self.caller
    }

    /// Whether the signer speaks for somebody else, as authentication services do.
    pub fn privileged(&self) -> bool {
        self.privileged
    }

    /// The name of the certificate that counted: the caller's, or the one that
    /// makes the signer privileged.
    pub fn certname(&self) -> &str {
        &self.certname
    }

    /// The value alone; what it proves is lost.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl Verified<Deferred> {
    /// The request it is, as certain.
    pub fn request(&self) -> Verified<Request> {
        Verified {
            value: self.value.request(),
            caller: self.caller.clone(),
            certname: self.certname.clone(),
            privileged: self.privileged,
        }
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Largest `pubcert`, in bytes: a dozen certificates.
const MAX_PUBCERT: usize = 64 * 1024;
/// Largest signature text, in bytes: 8192 bits, with line ends.
const MAX_SIGNATURE: usize = 4 * 1024;
/// Characters shown of what a stranger claims.
const MAX_CLAIM: usize = 256;
/// Callers remembered. A certificate with an 8192 bit key takes about 4 KiB.
const MAX_REMEMBERED: usize = 1_024;

/// Base64 as Go reads it: padding required, spare bits of the last letter free.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Verifies requests of protocol version 1 against certificates.
///
/// Reading a certificate and following its chain costs several times the
/// signature itself, and the same few callers send nearly all requests: a
/// chain that was believed is remembered by the hash of its text for as long
/// as trust, and all its certificates, stay what they are.
pub struct RequestVerifier {
    trust: Arc<SharedTrust>,
    allowed: NameList,
    privileged: NameList,
    remembered: Mutex<Remembered>,
}

impl RequestVerifier {
    /// A verifier that believes chains to `trust` and takes callers whose
    /// certificate name is on `allowed`; names on `privileged` may speak for
    /// any caller.
    pub fn new(trust: Arc<SharedTrust>, allowed: NameList, privileged: NameList) -> RequestVerifier {
        RequestVerifier { trust, allowed, privileged, remembered: Mutex::default() }
    }

    /// Whether `secure` is a request signed by its caller (or somebody
    /// privileged) whose certificate is good at `now_unix`. The age of the
    /// request is not judged here.
    ///
    /// # Errors
    /// The [`VerifyError`] that counted first.
    pub fn verify(&self, secure: &SecureRequest, now_unix: i64) -> Result<Verified<Request>, VerifyError> {
        let (request, caller) = claimed(secure)?;
        self.signed_by(secure, request, caller, now_unix)
    }

    /// The same of a request that waited for its node. Whether it may run now is not judged here.
    ///
    /// # Errors
    /// The [`VerifyError`] that counted first.
    pub fn verify_deferred(
        &self,
        secure: &SecureRequest,
        now_unix: i64,
    ) -> Result<Verified<Deferred>, VerifyError> {
        let deferred =
            Deferred::decode(&secure.message).map_err(|e| VerifyError::Malformed(e.to_string()))?;
        let caller = caller_of(&deferred.caller)?;
        self.signed_by(secure, deferred, caller, now_unix)
    }

    fn signed_by<T>(
        &self,
        secure: &SecureRequest,
        value: T,
        caller: CallerId,
        now_unix: i64,
    ) -> Result<Verified<T>, VerifyError> {
        let signer = self.signer(&secure.pubcert, &caller, &self.trust, now_unix)?;
        let (certname, privileged) = match &signer.privileged {
            Some(name) => (name.clone(), true),
            None => {
                self.check_name(&caller, &signer.certificate)?;
                (caller.name().to_string(), false)
            }
        };
        check_signature(secure, &signer.key, &caller)?;
        Ok(Verified { value, caller, certname, privileged })
    }

    fn check_name(&self, caller: &CallerId, certificate: &Certificate) -> Result<(), VerifyError> {
        if !certificate.names().any(|name| name == caller.name()) {
            let names: Vec<_> = certificate.names().take(5).collect();
            return Err(VerifyError::Name {
                caller: caller.to_string(),
                names: shortened(&names.join(", "), MAX_CLAIM),
            });
        }
        if caller.kind() != CallerId::KIND {
            return Err(VerifyError::Kind { caller: caller.to_string(), name: caller.name().to_string() });
        }
        if !self.allowed.matches(caller.name()) {
            return Err(VerifyError::NotListed { caller: caller.to_string() });
        }
        Ok(())
    }

    /// The signer with this certificate text, remembered or looked into.
    fn signer(
        &self,
        pubcert: &str,
        caller: &CallerId,
        trust: &SharedTrust,
        now: i64,
    ) -> Result<Arc<KnownSigner>, VerifyError> {
        if pubcert.len() > MAX_PUBCERT {
            return Err(VerifyError::NoCertificate { caller: caller.to_string() });
        }
        let trust = trust.get();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, pubcert.as_bytes()).as_ref());
        if let Some(known) = self.lock().get(&hash, trust.generation(), now) {
            return Ok(known);
        }
        // Not under the lock: others are not to wait for a chain.
        let signer = Arc::new(self.look_into(pubcert, caller, &trust, now)?);
        self.lock().insert(hash, signer.clone());
        Ok(signer)
    }

    fn look_into(
        &self,
        pubcert: &str,
        caller: &CallerId,
        trust: &Trust,
        now: i64,
    ) -> Result<KnownSigner, VerifyError> {
        let caller = || caller.to_string();
        let unreadable = || VerifyError::NoCertificate { caller: caller() };
        let certificates = pem::leaf_first(pubcert.as_bytes()).ok_or_else(unreadable)?;
        let (leaf, others) = certificates.split_first().ok_or_else(unreadable)?;
        let certificate = Certificate::parse(leaf).ok_or_else(unreadable)?;
        let validity = trust
            .verify(leaf, others, now, Usage::Client)
            .map_err(|reason| VerifyError::Chain { caller: caller(), reason })?;
        let not_rsa = || VerifyError::NotRsa { caller: caller() };
        let key = certificate.rsa_key.as_deref().ok_or_else(not_rsa)?;
        // Keys of 1024 bits are accepted because the original does.
        let key = ParsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, key)
            .map_err(|_| not_rsa())?;
        let privileged = certificate.names().find(|name| self.privileged.matches(name)).map(str::to_string);
        Ok(KnownSigner { certificate, key, privileged, validity, generation: trust.generation() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RequestVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestVerifier").finish_non_exhaustive()
    }
}

/// The request, and who it says it is from.
fn claimed(secure: &SecureRequest) -> Result<(Request, CallerId), VerifyError> {
    let request =
        Request::decode(secure.message.as_bytes()).map_err(|e| VerifyError::Malformed(e.to_string()))?;
    let caller = caller_of(&request.envelope.callerid)?;
    Ok((request, caller))
}

fn caller_of(claimed: &str) -> Result<CallerId, VerifyError> {
    CallerId::parse(claimed).ok_or_else(|| VerifyError::CallerId(shortened(claimed, MAX_CLAIM)))
}

/// What a node that waits for its first certificate and knows no CA takes
/// requests by: it believes what they say of themselves, as the original does
/// (spec 01 §15). Such a node acts on its access token alone. A type of its own,
/// so that no verifier can lose its trust and become this.
#[derive(Debug)]
pub struct ClaimReader(());

impl ClaimReader {
    /// For waiting nodes alone.
    pub(super) fn of_a_waiting_node() -> ClaimReader {
        ClaimReader(())
    }

    /// What the request says, believed.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, secure: &SecureRequest) -> Result<Verified<Request>, VerifyError> {
        let (value, caller) = claimed(secure)?;
        let certname = caller.name().to_string();
        Ok(Verified { value, caller, certname, privileged: false })
    }
}

/// By what a node takes requests, chosen once at its start.
#[derive(Debug)]
pub enum RequestTrust {
    /// Signatures and certificates.
    Verified(RequestVerifier),
    /// Their word: a waiting node that knows no CA.
    Claimed(ClaimReader),
}

impl RequestTrust {
    /// The request, if it is to be believed at `now_unix`.
    ///
    /// # Errors
    /// The [`VerifyError`] that counted first.
    pub fn judge(&self, secure: &SecureRequest, now_unix: i64) -> Result<Verified<Request>, VerifyError> {
        match self {
            RequestTrust::Verified(verifier) => verifier.verify(secure, now_unix),
            RequestTrust::Claimed(reader) => reader.read(secure),
        }
    }

    /// The same of a request that waited for its node.
    ///
    /// # Errors
    /// The [`VerifyError`] that counted first; a node that takes requests at their word takes none of these.
    pub fn judge_deferred(
        &self,
        secure: &SecureRequest,
        now_unix: i64,
    ) -> Result<Verified<Deferred>, VerifyError> {
        match self {
            RequestTrust::Verified(verifier) => verifier.verify_deferred(secure, now_unix),
            RequestTrust::Claimed(_) => {
                Err(VerifyError::Malformed("this node has no certificate yet".to_owned()))
            }
        }
    }
}

fn check_signature(
    secure: &SecureRequest,
    key: &ParsedPublicKey,
    caller: &CallerId,
) -> Result<(), VerifyError> {
    let refused = || VerifyError::Signature { caller: caller.to_string() };
    if secure.signature.len() > MAX_SIGNATURE {
        return Err(refused());
    }
    // Ruby wraps base64 into lines.
    let text: Vec<u8> = secure.signature.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let signature = BASE64.decode(text).map_err(|_| refused())?;
    key.verify_sig(secure.message.as_bytes(), &signature).map_err(|_| refused())
}

/// A certificate whose chain was believed.
struct KnownSigner {
    certificate: Certificate,
    key: ParsedPublicKey,
    /// The name that makes it privileged.
    privileged: Option<String>,
    validity: Validity,
    generation: u64,
}

/// The most recently seen signers, by hash of the certificate text.
#[derive(Default)]
struct Remembered {
    signers: HashMap<[u8; 32], (Arc<KnownSigner>, u64)>,
    clock: u64,
}

impl Remembered {
    fn get(&mut self, hash: &[u8; 32], generation: u64, now: i64) -> Option<Arc<KnownSigner>> {
        self.clock += 1;
        let (signer, used) = self.signers.get_mut(hash)?;
        if signer.generation != generation || !signer.validity.includes(now) {
            self.signers.remove(hash);
            return None;
        }
        *used = self.clock;
        Some(signer.clone())
    }

    fn insert(&mut self, hash: [u8; 32], signer: Arc<KnownSigner>) {
        if self.signers.len() >= MAX_REMEMBERED {
            // One walk over a thousand entries, next to a chain verification.
            let oldest = self.signers.iter().min_by_key(|(_, (_, used))| *used).map(|(hash, _)| *hash);
            if let Some(oldest) = oldest {
                self.signers.remove(&oldest);
            }
        }
        self.clock += 1;
        self.signers.insert(hash, (signer, self.clock));
    }
}

#[cfg(test)]
impl RequestVerifier {
    pub(super) fn remembered_signers(&self) -> usize {
        self.lock().signers.len()
    }
}
