//! A network whose broker does not let this one carry messages.

use std::sync::Arc;

use crate::core::connection::{ComplaintListener, Session};

/// Hears whether the subscription to what is to be carried is refused, and says what to do.
pub(super) struct Refused {
    /// The subject.
    subject: String,
    /// Who is in that network, for people.
    whose: &'static str,
    /// Name of the certificate.
    identity: String,
}

impl Refused {
    /// Listens from now on, as long as what is returned lives.
    pub fn listen(session: &Session, subject: String, whose: &'static str, identity: &str) -> Arc<Refused> {
        let listener = Arc::new(Refused { subject, whose, identity: identity.to_owned() });
        let weak: std::sync::Weak<Refused> = Arc::downgrade(&listener);
        session.hear_complaints(weak);
        listener
    }

    fn concerns(&self, text: &str) -> bool {
        text.contains(&format!("Permissions Violation for Subscription to \"{}\"", self.subject))
    }
}

impl ComplaintListener for Refused {
    fn complained(&self, text: &str) {
        if self.concerns(text) {
            tracing::error!(
                "the broker of the {} does not let this one carry messages: name its certificate, {} as far as this one \
                 knows, in plugin.choria.network.federation_certnames there",
                self.whose,
                self.identity
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_subject_concerns_it() {
        let refused =
            Refused { subject: "choria.federation.a".to_owned(), whose: "nodes", identity: String::new() };
        let text = |subject| {
            format!("nats: Permissions Violation for Subscription to \"{subject}\" using queue \"q\"")
        };
        assert!(refused.concerns(&text("choria.federation.a")));
        assert!(!refused.concerns(&text("choria.federation.ab")));
    }
}
