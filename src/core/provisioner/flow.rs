//! The walk of one node: token, inventory, request, helper, configure, restart (spec 05 §7).
//!
//! Nothing with an effect on the node is asked before its token is believed.
//! What it is configured with is in the journal before it is sent, so whoever
//! takes the walk again after a crash sends the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde_json::{Map, Value, json};

use super::answer::{Answer, AnswerContext};
use super::calls::{Ask, CallError, Calls, First, MAX_TOLD};
use super::csr;
use super::election::Leadership;
use super::helper::HelperError;
use super::journal::{Journal, Open, Step};
use super::machines::Machine;
use super::metrics::Counters;
use super::plan::Plan;
use super::population::End;
use super::question::Question;
use super::stages::Stage;
use crate::core::protocol::filter::Filter;
use crate::core::provisioning::AGENT;
use crate::core::rpc::ReplyBody;
use crate::core::security::key_transport::Exchange;
use crate::core::text::shortened;

mod ended;

pub use ended::Ended;

/// First contact: a node that is there answers at once.
pub(super) const FIRST: Duration = Duration::from_secs(3);
/// Writing files takes a moment.
const CONFIGURE: Duration = Duration::from_secs(10);
/// Times a restart is asked for.
const RESTARTS: usize = 3;

/// What all walks share for as long as the program runs.
#[derive(Clone)]
pub struct Shared {
    /// To the nodes.
    pub calls: Calls,
    /// What survives us.
    pub journal: Journal,
    /// For the metrics.
    pub counters: Arc<Counters>,
    /// Whether nodes may be touched.
    pub standing: Arc<Leadership>,
}

/// Takes one node through all of it.
pub async fn walk(shared: &Shared, plan: &Plan, node: &Arc<str>) -> Ended {
    let walk = Walk::new(shared, plan, node);
    let ended = walk.run().await;
    shared.calls.done_with(node);
    let mut ended = match ended {
        Ok(end) => Ended::well(end),
        // however it was found out
        Err(ended) if ended.end == End::Doubled => walk.doubled(),
        Err(ended) => ended,
    };
    ended.reason = plan.settings.without_secrets(&ended.reason);
    ended
}

/// Asks a node and the helper what would be done, and does nothing.
///
/// # Errors
/// Where the walk would have ended.
pub async fn rehearse(shared: &Shared, plan: &Plan, node: &Arc<str>) -> Result<(Question, Answer), Ended> {
    let rehearsed = Walk::new(shared, plan, node).rehearse().await;
    shared.calls.done_with(node);
    rehearsed
}

/// One node on its way.
pub(super) struct Walk<'a> {
    pub shared: &'a Shared,
    pub plan: &'a Plan,
    pub node: &'a Arc<str>,
    /// The machine that has the name, where a rule says so.
    pub machine: Option<&'a Machine>,
    /// The one that answered first: all that follows is with it.
    pub first: Arc<First>,
}

impl<'a> Walk<'a> {
    fn new(shared: &'a Shared, plan: &'a Plan, node: &'a Arc<str>) -> Walk<'a> {
        Walk { shared, plan, node, machine: plan.machines.get(&**node), first: Arc::default() }
    }

    async fn run(&self) -> Result<End, Ended> {
        let Walk { plan, node, .. } = self;
        if !plan.allowed.is_empty() && !plan.allowed.iter().any(|pattern| pattern.is_match(node)) {
            return Err(Ended::failed("identity", "identity_allow does not allow its name"));
        }
        self.check_alone()?;
        self.check_leads()?;
        if let Some(end) = self.resume().await? {
            return Ok(end);
        }
        let (question, request, ecdh_public) = self.learn().await?;
        self.check_leads()?;
        let answer = self.ask_helper(&question).await?;
        if answer.defer {
            let reason = format!("the helper defers it: {}", shortened(&answer.msg, MAX_TOLD));
            return Err(Ended::by(End::Deferred, "deferred", reason));
        }
        self.check_leads()?;
        if answer.shutdown {
            self.shared.counters.helper_shutdown_requests.fetch_add(1, Ordering::Relaxed);
            tracing::info!(
                node = &***node,
                "the helper has it end itself: {}",
                shortened(&answer.msg, MAX_TOLD)
            );
            self.ask("shutdown", Map::new(), false, FIRST).await?;
            return Ok(End::Shutdown);
        }
        if let Some(end) = self.upgrade(&question, &answer).await? {
            return Ok(end);
        }
        let inputs = self.inputs(answer, &question, request.as_ref(), ecdh_public.as_deref())?;
        // two machines may have answered by now
        self.check_alone()?;
        let text = Value::Object(inputs.clone()).to_string();
        self.write(Step::Answered(text.into())).await?;
        if let Err(ended) = self.configure(inputs).await {
            if matches!(ended.kind, "refused" | "locked") {
                self.write(Step::Closed).await?;
            }
            return Err(ended);
        }
        self.restart().await
    }

    /// As far as nothing on the node changes: what the helper would say, asked without keys.
    async fn rehearse(&self) -> Result<(Question, Answer), Ended> {
        let question = self.learn_without_keys().await?.0;
        let answer = self.ask_helper(&question).await?;
        Ok((question, answer))
    }

    /// Two machines of one name would both write the certificate of one of them.
    fn check_alone(&self) -> Result<(), Ended> {
        let told_apart = self.machine.is_some_and(Machine::is_told_apart);
        match self.shared.calls.doubled(self.node, told_apart) {
            true => Err(self.doubled()),
            false => Ok(()),
        }
    }

    fn doubled(&self) -> Ended {
        let reason = match self.machine.is_some_and(Machine::is_told_apart) {
            true => "two machines claim this name and its row in machines, neither is configured",
            false => {
                "two machines claim this name, neither is configured; rename one, shut it down, \
                 or tell them apart by facts in machines"
            }
        };
        Ended::by(End::Doubled, "doubled", reason)
    }

    /// Another provisioner is at work: nothing is begun, and the node keeps its place.
    pub(super) fn check_leads(&self) -> Result<(), Ended> {
        match self.shared.standing.leads() {
            true => Ok(()),
            false => Err(Ended::well(End::Stopped)),
        }
    }

    /// Goes on where an earlier walk, or an earlier process, was interrupted.
    async fn resume(&self) -> Result<Option<End>, Ended> {
        let Some(Open { inputs, configured }) = self.shared.journal.of(self.node) else { return Ok(None) };
        // whoever has left is not waited for as long as the next steps may take
        let within = self.shared.counters.stage(Stage::Inventory).begin();
        self.inventory().await.map_err(|ended| self.alone(ended).after_its_answer())?;
        drop(within);
        if !configured {
            let inputs = serde_json::from_str(&inputs)
                .map_err(|error| Ended::failed("journal", format!("its record cannot be read: {error}")))?;
            match self.configure(inputs).await {
                // it has another key by now, or is another machine: start anew
                Err(ended) if ended.kind == "refused" => {
                    return self.anew("does not take its earlier answer", &ended).await;
                }
                configured => configured?,
            }
        }
        match self.restart().await {
            // it has restarted since and lost its configuration
            Err(ended) if ended.kind == "refused" => {
                self.anew("cannot restart into its earlier answer", &ended).await
            }
            ended => ended.map(Some),
        }
    }

    /// Its earlier answer is of no use any more.
    async fn anew(&self, what: &str, ended: &Ended) -> Result<Option<End>, Ended> {
        let reason = self.plan.settings.without_secrets(&ended.reason);
        tracing::info!(node = &**self.node, "{what}: {reason}");
        self.write(Step::Closed).await?;
        Ok(None)
    }

    async fn ask_helper(&self, question: &Question) -> Result<Answer, Ended> {
        let Shared { counters, .. } = self.shared;
        let _within = counters.stage(Stage::Helper).begin();
        let Ok(_slot) = self.plan.slots.acquire().await else {
            return Err(Ended::well(End::Stopped));
        };
        let begun = Instant::now();
        let answer = self.plan.helper.ask(question).await;
        counters.helper_time.add(begun.elapsed());
        answer.map_err(|error| {
            if let HelperError::Busy { pause, .. } = error {
                return Ended { pause, ..Ended::by(End::Deferred, "deferred", error) };
            }
            counters.helper_errors.fetch_add(1, Ordering::Relaxed);
            Ended::failed("helper", error)
        })
    }

    /// Has the node run another version first, where the helper says so.
    async fn upgrade(&self, question: &Question, answer: &Answer) -> Result<Option<End>, Ended> {
        let settings = &self.plan.settings;
        if !settings.features.upgrades || answer.upgrade.is_empty() {
            return Ok(None);
        }
        let inventory: Value = serde_json::from_str(&question.inventory).unwrap_or_default();
        let upgradable = inventory.get("upgradable").and_then(Value::as_bool).unwrap_or_default();
        let version = inventory.get("version").and_then(Value::as_str).unwrap_or_default();
        if !upgradable || version == answer.upgrade {
            return Ok(None);
        }
        let data = Map::from_iter([
            ("repository".to_owned(), json!(settings.upgrades_repository)),
            ("version".to_owned(), json!(answer.upgrade)),
        ]);
        let _within = self.shared.counters.stage(Stage::Upgrade).begin();
        match self.ask("release_update", data, false, Duration::from_secs(120)).await {
            Ok(_) => Ok(Some(End::Upgraded)),
            Err(error) if settings.upgrades_optional => {
                tracing::warn!(node = &**self.node, "provisioned although it was not upgraded: {error}");
                Ok(None)
            }
            Err(error) => Err(Ended::failed("upgrade", error)),
        }
    }

    /// Inputs of `configure`, but for the token, which stays off the disk.
    fn inputs(
        &self,
        mut answer: Answer,
        question: &Question,
        request: Option<&csr::CheckedCsr>,
        ecdh_public: Option<&str>,
    ) -> Result<Map<String, Value>, Ended> {
        let refused = |error: &dyn std::fmt::Display| {
            Ended::failed("answer", format!("the helper's answer is not passed on: {error}"))
        };
        let now = jiff::Timestamp::now().as_second();
        let about = AnswerContext {
            identity: self.node,
            request: request.zip(question.csr.as_ref()),
            denied: &self.plan.denied,
            takes_key: ecdh_public.is_some(),
            inject_disabled: self.plan.settings.inject_provision_disabled,
            now,
        };
        let told = answer.check(&about).map_err(|error| refused(&error))?;
        told.iter().for_each(|text| tracing::warn!(node = &**self.node, "{text}"));
        let mut own_public = String::new();
        if let (false, Some(peer)) = (answer.key.is_empty(), ecdh_public) {
            let exchange = Exchange::new().map_err(|error| refused(&error))?;
            answer.key = exchange.seal(peer, &answer.key).map_err(|error| refused(&error))?;
            own_public = exchange.public_hex().to_owned();
        }
        let server_jwt = match (&self.plan.tokens, &question.ed25519_pubkey) {
            (Some(tokens), Some(key)) => {
                let issued = tokens.issue(self.node, key, &answer, now);
                issued.map_err(|error| Ended::failed("signing", error))?
            }
            _ => String::new(),
        };
        let config = serde_json::to_string(&answer.configuration).unwrap_or_default();
        Ok(Map::from_iter(
            [
                ("config", json!(config)),
                ("certificate", json!(answer.certificate)),
                ("ca", json!(answer.ca)),
                ("ssldir", json!(answer.ssldir)),
                ("key", json!(answer.key)),
                ("ecdh_public", json!(own_public)),
                ("action_policies", json!(answer.action_policies)),
                ("opa_policies", json!(answer.opa_policies)),
                ("server_jwt", json!(server_jwt)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        ))
    }

    async fn configure(&self, inputs: Map<String, Value>) -> Result<(), Ended> {
        let within = self.shared.counters.stage(Stage::Configure).begin();
        self.ask("configure", inputs, false, CONFIGURE).await?;
        drop(within);
        self.write(Step::Configured).await
    }

    /// Asks for the restart, again where no answer comes. An answer to any of the requests
    /// counts: a busy machine may answer the first while the second is under way, and is gone
    /// before it hears of that.
    async fn restart(&self) -> Result<End, Ended> {
        let within = self.shared.counters.stage(Stage::Restart).begin();
        let data = Map::from_iter([("splay".to_owned(), json!(1))]);
        let mut asked = FuturesUnordered::new();
        let mut outcome = None;
        for tries in 1..=RESTARTS {
            // all of them end with the last
            let left = FIRST * u32::try_from(RESTARTS - tries + 1).unwrap_or(1);
            asked.push(self.ask("restart", data.clone(), true, left));
            outcome = tokio::time::timeout(FIRST, asked.next()).await.ok().flatten();
            // that nobody listens any more ends it as well
            if outcome.is_some() {
                break;
            }
            tracing::debug!(node = &**self.node, tries, "no answer to restart yet");
        }
        if outcome.is_none() {
            outcome = asked.next().await;
        }
        // whoever said goodbye in its name, it is gone where the broker says so
        if let Some(Err(CallError::Silent { .. })) = outcome
            && self.shared.journal.of(self.node).is_none()
        {
            outcome = Some(self.ask("restart", data, true, FIRST).await);
        }
        match outcome {
            // only its answer is missing: it has said goodbye, which closed its record
            Some(Err(CallError::Absent { .. })) if self.shared.journal.of(self.node).is_none() => {}
            Some(Err(error)) => return Err(error.into()),
            _ => {}
        }
        drop(within);
        self.write(Step::Closed).await?;
        Ok(End::Provisioned)
    }

    pub(super) async fn ask(
        &self,
        action: &'static str,
        mut data: Map<String, Value>,
        shared: bool,
        limit: Duration,
    ) -> Result<ReplyBody, CallError> {
        data.insert("token".to_owned(), json!(self.plan.settings.token.expose()));
        let filter = self.filter();
        let ask = Ask { agent: AGENT, action, data, shared, filter, first: self.first.clone() };
        self.shared.calls.ask(self.node, &ask, limit).await
    }

    pub(super) fn filter(&self) -> Filter {
        self.machine.map(Machine::filter).unwrap_or_default()
    }

    async fn write(&self, step: Step) -> Result<(), Ended> {
        let _within = self.shared.counters.stage(Stage::Journal).begin();
        self.shared
            .journal
            .write(self.node, step)
            .await
            .map_err(|error| Ended::failed("journal", format!("the journal cannot be written: {error}")))
    }
}

/// A text of a reply; empty when it is not there.
pub(super) fn text(reply: &ReplyBody, name: &str) -> String {
    reply.data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
