//! Users known by configuration: names and passwords, tokens, nkeys.
//!
//! The second [`Authenticator`], for those who embed a broker without Choria's
//! rules. It knows its users beforehand and asks nobody else.

use super::account::Account;
use super::facts::{ConnectionFacts, Transport};
use super::grant::{Authenticator, Grant, Refusal, RefusalKind};
use super::passwords::{PasswordError, Stored};
use super::static_user::{Credential, StaticUser};
use crate::core::nats::nkey::UserKey;
use crate::core::text::Secret;

/// Why users cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// Two users with one name, key or token.
    #[error("user number {0} has the same name, token or nkey as one before it")]
    Twice(usize),
    /// A password hash that cannot be used.
    #[error("the password of user number {0} cannot be used: {1}")]
    Password(usize, PasswordError),
    /// A name or token that says nothing.
    #[error("user number {0} has an empty name, password or token")]
    Empty(usize),
}

/// A credential, looked into.
#[derive(Debug)]
enum Known {
    Password(String, Stored),
    Token(Secret),
    Nkey(UserKey),
    Anybody,
}

/// See the module documentation.
#[derive(Debug)]
pub struct StaticUsers {
    users: Vec<(Known, Grant)>,
    has_nkeys: bool,
    /// Nobody is asked who they are.
    open: bool,
}

impl StaticUsers {
    /// Checks the users.
    ///
    /// # Errors
    /// [`UsersError`] names the first user that cannot be told from another.
    pub fn new(users: impl IntoIterator<Item = StaticUser>) -> Result<Self, UsersError> {
        let mut seen: Vec<Credential> = Vec::new();
        let mut known: Vec<(Known, Grant)> = Vec::new();
        for (number, user) in users.into_iter().enumerate() {
            let empty = match &user.credential {
                Credential::Password { user, password } => user.is_empty() || password.is_empty(),
                Credential::Token(token) => token.is_empty(),
                Credential::Nkey(_) | Credential::Anybody => false,
            };
            if empty {
                return Err(UsersError::Empty(number + 1));
            }
            if seen.iter().any(|credential| credential.is_same(&user.credential)) {
                return Err(UsersError::Twice(number + 1));
            }
            let grant = user.grant();
            let credential = match user.credential.clone() {
                Credential::Password { user, password } => Known::Password(
                    user,
                    Stored::new(password).map_err(|error| UsersError::Password(number + 1, error))?,
                ),
                Credential::Token(token) => Known::Token(token),
                Credential::Nkey(key) => Known::Nkey(key),
                Credential::Anybody => Known::Anybody,
            };
            known.push((credential, grant));
            seen.push(user.credential);
        }
        let has_nkeys = known.iter().any(|(credential, _)| matches!(credential, Known::Nkey(_)));
        Ok(Self { users: known, has_nkeys, open: false })
    }

    /// Everybody who can connect may do everything in one account. Credentials that
    /// somebody shows nevertheless are not looked at, as nats-server without users does.
    pub fn open(account: Account) -> Self {
        let user = StaticUser::new(Credential::Anybody, account);
        Self { users: vec![(Known::Anybody, user.grant())], has_nkeys: false, open: true }
    }

    fn by_nkey(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        let refuse = |text: String| Err(Refusal::new(RefusalKind::Signature, text));
        let wanted = match UserKey::parse(&facts.options.nkey) {
            Ok(key) => key,
            Err(error) => return refuse(error.to_string()),
        };
        let found = self.users.iter().find(|(c, _)| matches!(c, Known::Nkey(key) if *key == wanted));
        match found {
            None => refuse(format!("nkey {wanted} belongs to no user")),
            Some(_) if !wanted.verifies(&facts.nonce, facts.options.sig.expose()) => {
                refuse(format!("the signature does not prove that the peer holds nkey {wanted}"))
            }
            Some((_, grant)) => Ok(grant.clone()),
        }
    }

    fn by_token(&self, token: &Secret) -> Result<Grant, Refusal> {
        // all are compared, so that the time does not tell which one came close
        let mut found = None;
        for (credential, grant) in &self.users {
            if let Known::Token(known) = credential
                && known.matches(token)
            {
                found = Some(grant);
            }
        }
        found.cloned().ok_or_else(|| Refusal::new(RefusalKind::Token, "the token belongs to no user"))
    }

    /// `None` if it would take long and `may_wait` is not given.
    fn by_password(&self, name: &str, given: &Secret, may_wait: bool) -> Option<Result<Grant, Refusal>> {
        let check = |password: &Stored| match may_wait {
            true => Some(password.matches(given)),
            false => password.matches_quickly(given),
        };
        let stored = self.users.iter().filter_map(|(credential, grant)| match credential {
            Known::Password(user, password) => Some((user, password, grant)),
            _ => None,
        });
        let refuse = |text: String| Some(Err(Refusal::new(RefusalKind::Password, text)));
        match stored.clone().find(|(user, _, _)| *user == name) {
            Some((_, password, grant)) => match check(password)? {
                true => Some(Ok(grant.clone())),
                false => refuse(format!("wrong password of user {name:?}")),
            },
            None => {
                // as long as it takes with a user, or the time would tell who is one
                if let Some((_, password, _)) = stored.clone().find(|(_, password, _)| password.is_slow()) {
                    check(password)?;
                }
                refuse(format!("there is no user {name:?}"))
            }
        }
    }

    fn decide(&self, facts: &ConnectionFacts, may_wait: bool) -> Option<Result<Grant, Refusal>> {
        let options = &facts.options;
        Some(if options.wants_account {
            Err(Refusal::new(RefusalKind::Request, "the peer asked for an account by name"))
        } else if !self.open && !options.nkey.is_empty() {
            self.by_nkey(facts)
        } else if !self.open && !options.auth_token.is_empty() {
            self.by_token(&options.auth_token)
        } else if !self.open && !options.user.is_empty() {
            return self.by_password(&options.user, &options.pass, may_wait);
        } else {
            let anybody = self.users.iter().find(|(credential, _)| matches!(credential, Known::Anybody));
            anybody
                .map(|(_, grant)| grant.clone())
                .ok_or_else(|| Refusal::new(RefusalKind::Password, "the peer showed no credential"))
        })
    }
}

impl Authenticator for StaticUsers {
    fn authenticate(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        self.decide(facts, true)
            .unwrap_or_else(|| Err(Refusal::new(RefusalKind::Password, "the password was not checked")))
    }

    fn authenticate_quickly(&self, facts: &ConnectionFacts) -> Option<Result<Grant, Refusal>> {
        self.decide(facts, false)
    }

    fn wants_nonce(&self) -> bool {
        self.has_nkeys
    }

    fn requires_credentials(&self, _: Transport) -> bool {
        !self.users.iter().any(|(credential, _)| matches!(credential, Known::Anybody))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::core::admission::{Permission, Responses};
    use crate::core::nats::connect::ConnectOptions;

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password { user: user.to_owned(), password: Secret::new(password) }
    }

    fn facts(connect: &str) -> ConnectionFacts {
        let options = ConnectOptions::decode(connect.as_bytes()).unwrap();
        let nonce = "a-nonce".to_owned();
        ConnectionFacts { options, nonce, ..ConnectionFacts::new(Transport::Tls) }
    }

    #[test]
    fn each_credential_finds_its_user() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = UserKey::new(pair.public_key().as_ref().try_into().unwrap());
        let stranger = Ed25519KeyPair::generate().unwrap();
        let users = StaticUsers::new([
            StaticUser::new(password("a", "secret"), Account::Choria),
            StaticUser::new(Credential::Token(Secret::new("tok")), Account::System),
            StaticUser::new(Credential::Nkey(key), Account::Provisioning),
        ])
        .unwrap();
        assert!(users.wants_nonce());
        let signed = |pair: &Ed25519KeyPair, nonce: &str| {
            let signature = URL_SAFE_NO_PAD.encode(pair.sign(nonce.as_bytes()).as_ref());
            format!(r#"{{"nkey":"{key}","sig":"{signature}"}}"#)
        };
        for (connect, expected) in [
            (r#"{"user":"a","pass":"secret"}"#.to_owned(), Ok((Account::Choria, "a".to_owned()))),
            (r#"{"user":"a","pass":"secreT"}"#.to_owned(), Err(RefusalKind::Password)),
            (r#"{"user":"a"}"#.to_owned(), Err(RefusalKind::Password)),
            (r#"{"user":"b","pass":"secret"}"#.to_owned(), Err(RefusalKind::Password)),
            (r#"{"auth_token":"tok"}"#.to_owned(), Ok((Account::System, "[REDACTED]".to_owned()))),
            (r#"{"auth_token":"to"}"#.to_owned(), Err(RefusalKind::Token)),
            // a wrong token is not made good by anything beside it
            (r#"{"auth_token":"x","user":"a","pass":"secret"}"#.to_owned(), Err(RefusalKind::Token)),
            (signed(&pair, "a-nonce"), Ok((Account::Provisioning, key.to_string()))),
            (signed(&pair, "another"), Err(RefusalKind::Signature)),
            (signed(&stranger, "a-nonce"), Err(RefusalKind::Signature)),
            (r#"{"nkey":"UABC"}"#.to_owned(), Err(RefusalKind::Signature)),
            ("{}".to_owned(), Err(RefusalKind::Password)),
            (r#"{"user":"a","pass":"secret","account":"x"}"#.to_owned(), Err(RefusalKind::Request)),
        ] {
            let answer = users.authenticate(&facts(&connect));
            let answer = answer.map(|grant| (grant.account, grant.user)).map_err(|refusal| refusal.kind);
            assert_eq!(answer, expected, "{connect}");
        }
    }

    #[test]
    fn hashed_passwords_wait_for_whoever_may_wait() {
        let hash = bcrypt::hash("a hashed secret", 4).unwrap();
        let users = StaticUsers::new([
            StaticUser::new(password("h", &hash), Account::Choria),
            StaticUser::new(password("a", "secret"), Account::System),
        ])
        .unwrap();
        let quick = |connect: &str| users.authenticate_quickly(&facts(connect)).map(|answer| answer.is_ok());
        let slow = |connect: &str| users.authenticate(&facts(connect)).is_ok();
        let right = r#"{"user":"h","pass":"a hashed secret"}"#;
        assert_eq!(quick(right), None);
        assert!(slow(right));
        assert_eq!(quick(right), Some(true), "known by now");
        for wrong in [r#"{"user":"h","pass":"x"}"#, r#"{"user":"nobody","pass":"x"}"#] {
            assert_eq!(quick(wrong), None, "{wrong}");
            assert!(!slow(wrong), "{wrong}");
            assert_eq!(quick(wrong), None, "{wrong}");
        }
        assert!(!slow(&format!(r#"{{"user":"h","pass":"{hash}"}}"#)), "the hash is no password");
        assert_eq!(quick(r#"{"user":"a","pass":"secret"}"#), Some(true));
        assert_eq!(quick(r#"{"user":"a","pass":"x"}"#), Some(false));
        let broken = StaticUsers::new([StaticUser::new(password("h", "$2b$10$no"), Account::Choria)]);
        assert_eq!(broken.unwrap_err(), UsersError::Password(1, PasswordError::Malformed));
    }

    #[test]
    fn refusals_hold_no_secret() {
        let users = StaticUsers::new([StaticUser::new(password("a", "secret"), Account::Choria)]).unwrap();
        for connect in [r#"{"user":"a","pass":"hunter2"}"#, r#"{"auth_token":"hunter2"}"#] {
            let refusal = users.authenticate(&facts(connect)).unwrap_err();
            assert!(!refusal.reason.contains("hunter2") && !refusal.reason.contains("secret"));
        }
        assert!(!format!("{users:?}").contains("secret"));
    }

    #[test]
    fn anybody_only_where_told() {
        let open = StaticUsers::open(Account::Choria);
        assert_eq!(open.authenticate(&facts("{}")).unwrap().account, Account::Choria);
        for shown in [r#"{"user":"x"}"#, r#"{"auth_token":"x"}"#, r#"{"nkey":"x"}"#] {
            assert_eq!(open.authenticate(&facts(shown)).unwrap().user, "", "{shown}");
        }
        let anybody = StaticUser::new(Credential::Anybody, Account::Choria);
        let some = StaticUsers::new([anybody]).unwrap();
        assert!(some.authenticate(&facts("{}")).is_ok());
        assert!(some.authenticate(&facts(r#"{"user":"x"}"#)).is_err(), "who shows something is held to it");
        assert!(StaticUsers::new([]).unwrap().authenticate(&facts("{}")).is_err());
    }

    #[test]
    fn users_must_differ() {
        let user = |credential| StaticUser::new(credential, Account::Choria);
        let twice = [user(password("a", "1")), user(password("a", "2"))];
        assert_eq!(StaticUsers::new(twice).unwrap_err(), UsersError::Twice(2));
        assert_eq!(StaticUsers::new([user(password("a", ""))]).unwrap_err(), UsersError::Empty(1));
        assert_eq!(
            StaticUsers::new([user(Credential::Token(Secret::default()))]).unwrap_err(),
            UsersError::Empty(1)
        );
    }

    #[test]
    fn answers_alone_are_no_permission_for_everything() {
        let responses = Some(Responses::default());
        let mut user = StaticUser { responses, ..StaticUser::new(Credential::Anybody, Account::Choria) };
        assert!(!user.grant().publish.may_publish(b"a"));
        user.publish = Permission::only(["a"]);
        assert!(user.grant().publish.may_publish(b"a"));
    }
}
