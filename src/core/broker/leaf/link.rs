//! What a link to a hub knows beyond what every link does.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hashbrown::HashMap;

use super::interest::Told;
use super::remote::Remote;
use crate::core::admission::{Permission, SubjectList};
use crate::core::broker::close::Close;
use crate::core::broker::hubs::Wish;
use crate::core::broker::index::SubKey;
use crate::core::broker::shared::LeafId;
use crate::core::nats::leaf::hello::{HubInfo, Subjects};

/// Largest payload taken from a hub that has larger ones than we do.
const LARGEST: usize = 8 * 1024 * 1024;

/// How a connection to a hub ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Why.
    pub reason: String,
    /// How long to keep away, where it would only end the same way.
    pub pause: Duration,
}

/// See the module documentation.
pub struct LeafLink {
    /// Where it is, once a shard has it.
    pub id: LeafId,
    /// What keeps it connected.
    pub(super) remote: Arc<Remote>,
    /// Name of the hub's server.
    pub(super) hub: Box<str>,
    /// It has streams.
    pub(super) streams: bool,
    /// What may be subscribed there.
    pub(super) import: Permission,
    /// What may be published there.
    pub(super) export: Arc<Permission>,
    /// Largest payload the hub takes.
    pub(super) largest: usize,
    /// Set by the router when there is something to tell.
    pub(super) changed: Arc<AtomicBool>,
    /// What it has been told.
    pub(super) told: Told,
    /// What it wants.
    pub(super) wants: HashMap<Wish, SubKey>,
    /// Who waits for its end.
    pub(super) ended: mpsc::Sender<Ended>,
}

impl LeafLink {
    /// A link to a hub that has said this.
    pub(super) fn new(remote: Arc<Remote>, serial: u32, info: &HubInfo, ended: mpsc::Sender<Ended>) -> Self {
        Self {
            id: LeafId { shard: 0, key: 0, serial },
            remote,
            hub: info.server_name.as_str().into(),
            streams: info.jetstream,
            import: permission(info.import.as_ref()),
            export: Arc::new(permission(info.export.as_ref())),
            largest: match info.max_payload {
                0 => usize::MAX,
                largest => largest,
            },
            changed: Arc::default(),
            told: Told::default(),
            wants: HashMap::new(),
            ended,
        }
    }

    /// Whether an INFO that comes later says the same about what may pass.
    pub(super) fn agrees_with(&self, info: &HubInfo) -> bool {
        let same = |told: &Option<Subjects>, known: &Permission| {
            told.as_ref().is_none_or(|told| permission(Some(told)) == *known)
        };
        same(&info.import, &self.import) && same(&info.export, &self.export)
    }

    /// Largest payload taken from it, where others may send `usual`.
    pub fn largest_in(&self, usual: usize) -> usize {
        usual.max(self.largest.min(LARGEST))
    }

    /// Bytes of what it has been told, and wants beyond what the index counts.
    pub fn bytes(&self) -> usize {
        self.told.bytes()
    }

    /// Number of its wishes.
    pub fn wishes(&self) -> usize {
        self.wants.len()
    }

    /// Says why it has ended, to whoever connects again.
    pub fn end(&self, why: &Close) {
        let pause = match why {
            Close::Hub { pause, .. } => *pause,
            _ => Duration::ZERO,
        };
        // nobody waits when the broker ends
        let _ = self.ended.send(Ended { reason: why.reason().into_owned(), pause });
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.remote.leaf.name
    }

    /// Name of the hub's server.
    pub fn hub(&self) -> &str {
        &self.hub
    }
}

/// Lists of INFO. Absent, empty and `null` lists allow everything.
fn permission(subjects: Option<&Subjects>) -> Permission {
    let Some(subjects) = subjects else { return Permission::unrestricted() };
    let allow = subjects.allow.as_ref().filter(|allow| !allow.is_empty());
    let allowed = allow.map_or_else(Permission::unrestricted, Permission::only);
    let denied = SubjectList::new(subjects.deny.iter().flatten());
    // an allow list of nothing usable denies all by itself
    match denied.is_empty() {
        true => allowed,
        false if allowed.allow.is_none() && !allowed.deny.is_empty() => allowed,
        false => Permission { deny: denied, ..allowed },
    }
}

/// What is known about a connection to a hub.
#[derive(Debug, Clone, Default)]
pub struct LeafInfo {
    /// Name in the configuration.
    pub remote: String,
    /// Number of the connection.
    pub cid: u64,
    /// Name of the hub's server.
    pub hub: String,
    /// Account here.
    pub account: &'static str,
    /// Address of the hub.
    pub address: Option<std::net::SocketAddr>,
    /// Time between the last ping and its answer, once there was one.
    pub rtt: Option<Duration>,
    /// Messages received from it.
    pub in_msgs: u64,
    /// Payload bytes received from it.
    pub in_bytes: u64,
    /// Messages sent to it.
    pub out_msgs: u64,
    /// Payload bytes sent to it.
    pub out_bytes: u64,
    /// Subjects it wants.
    pub subscriptions: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_info_are_permissions() {
        let subjects = |allow: Option<&[&str]>, deny: Option<&[&str]>| {
            let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            Subjects { allow: allow.map(list), deny: deny.map(list) }
        };
        assert!(permission(None).is_unrestricted());
        assert!(permission(Some(&subjects(Some(&[]), None))).is_unrestricted());
        let some = permission(Some(&subjects(Some(&["a.>"]), Some(&["a.b"]))));
        assert!(some.may_publish(b"a.c") && !some.may_publish(b"a.b") && !some.may_publish(b"b"));
        // nothing usable in a list is not "no list"
        let nothing = permission(Some(&subjects(Some(&[" "]), Some(&["a.b"]))));
        assert!(!nothing.may_publish(b"a.c"));
    }
}
