//! Who is cut when more is held than may be: links of those who hold the most.

use std::sync::Arc;
use std::time::Duration;

use super::close::Close;
use super::ledger::Holder;
use super::shard::Shard;
use crate::core::admission::PeerKind;

/// How often it is looked who holds too much: what was cut is given back at the end of the turn, and
/// to look means to ask everybody.
const LOOK: Duration = Duration::from_millis(20);
/// Most identities that lose a link at one look.
const CUT: usize = 64;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Shortage {
    /// When it was looked last.
    looked: Duration,
    /// What was held then.
    held: usize,
    /// Looks one after the other that did not help enough: each cuts twice as many as the last.
    in_vain: u32,
}

impl Shard {
    /// While more is held than may be, cuts links of whoever holds the most.
    pub(super) fn keep_budget(&mut self) {
        let limits = &self.settings.limits;
        let waiting = PeerKind::WaitingNode;
        let crowded_kind =
            (self.shared.holders.of_kind(waiting) > limits.most_bytes(waiting)).then_some(waiting);
        if crowded_kind.is_none() && self.shared.held() <= limits.max_pending_total {
            return;
        }
        let held = self.shared.held();
        let last = self.shortage.looked;
        if self.now < last + LOOK && last != Duration::ZERO {
            return;
        }
        let in_vain = self.now < last + 4 * LOOK && held >= self.shortage.held;
        self.shortage.in_vain = if in_vain { self.shortage.in_vain + 1 } else { 0 };
        (self.shortage.looked, self.shortage.held) = (self.now, held);
        let most = 1_usize.checked_shl(self.shortage.in_vain).map_or(CUT, |most| most.min(CUT));
        let mut heaviest = self.shared.holders.heaviest(crowded_kind, most);
        let limit = heaviest.iter().map(|holder| holder.bytes()).max().unwrap_or(0) / 2;
        heaviest.retain(|holder| holder.bytes() >= limit);
        let here = heaviest.iter().filter(|holder| self.cut(holder)).count();
        if here < heaviest.len() {
            // the others' links are another shard's, who may sleep
            self.peers.iter().for_each(|peer| peer.wake());
        }
    }

    /// Cuts the heaviest link of an identity, if that is one of this shard.
    fn cut(&mut self, holder: &Arc<Holder>) -> bool {
        let link = self
            .links
            .iter()
            .filter(|(_, link)| !link.closing && Arc::ptr_eq(link.charge.holder(), holder))
            .max_by_key(|(_, link)| link.charge.weight())
            // or a heavier one is another shard's
            .filter(|(_, link)| link.charge.weight() >= holder.share().max(1))
            .map(|(key, _)| key as u32);
        let Some(key) = link else { return false };
        let (kind, identity, bytes) = (holder.kind().name(), holder.identity(), holder.bytes());
        self.shared.refusal_log.note("memory is short", || {
            tracing::warn!(kind, %identity, bytes, "memory is short, who holds the most is cut");
        });
        self.close_later(key, Close::SlowPending);
        true
    }
}
