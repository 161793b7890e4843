//! From text to a [`Definition`], or to what is wrong with it: one line a mistake.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Common, Definition, Subscription, Watched};
use crate::core::machine::duration;
use crate::core::machine::findings::{Finding, Findings};
use crate::core::machine::fsm::{States, Table};
use crate::core::machine::properties::Properties;
use crate::core::machine::watchers::{self, Status};
use crate::core::machine::yaml::{self, At, Node, What};

/// Most states and events, transitions, watchers.
const MAX_NAMES: usize = 1024;
const MAX_TRANSITIONS: usize = 1024;
const MAX_WATCHERS: usize = 256;
/// Longest name.
const MAX_NAME: usize = 256;
/// Longest start delay that means anything: a day.
const MAX_SPLAY: f64 = 86_400.0;

/// Names that get numbers as they come.
#[derive(Default)]
struct Names {
    list: Vec<Box<str>>,
    known: BTreeMap<Box<str>, u16>,
}

impl Names {
    fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.known.get(name) {
            return *number;
        }
        let number = self.list.len().min(MAX_NAMES) as u16;
        self.list.push(name.into());
        self.known.insert(name.into(), number);
        number
    }

    fn find(&self, name: &str) -> Option<u16> {
        self.known.get(name).copied()
    }
}

/// Compiles a definition.
///
/// # Errors
/// All that is wrong with it, in the order of its lines.
pub fn compile(text: &str) -> Result<Definition, Vec<Finding>> {
    let mut findings = Findings::default();
    let root = match yaml::read(text) {
        Ok(root) => root,
        Err(e) => return Err(vec![Finding { at: e.at, text: e.problem }]),
    };
    let made = definition(&root, &mut findings);
    findings.errors.sort();
    findings.errors.dedup();
    findings.warnings.sort();
    match made {
        Some(mut definition) if findings.errors.is_empty() => {
            definition.warnings = findings.warnings;
            Ok(definition)
        }
        _ => Err(findings.errors),
    }
}

fn definition(root: &Node, findings: &mut Findings) -> Option<Definition> {
    let at = At { line: 1, column: 1 };
    if !matches!(root.what, What::Map(_)) {
        findings.error(root.at, format!("a machine is a mapping with name, version, initial_state, transitions and watchers, this is {}", root.kind()));
        return None;
    }
    let mut top = Properties::new(Some(root), at, "machine".to_owned(), findings);
    let (name, version, initial_name) =
        (top.required("name"), top.required("version"), top.required("initial_state"));
    plain_name(&mut top, "name", &name);
    if !version.is_empty() && !is_version(&version) {
        top.warn_at(
            "version",
            format_args!("{version} is not of the form 1.2.3: machine_transition cannot ask for it"),
        );
    }
    let splay = splay(&mut top);
    let transitions = nodes(&mut top, "transitions");
    let watchers = nodes(&mut top, "watchers");
    for (list, name) in [(transitions.len(), "transitions"), (watchers.len(), "watchers")] {
        if list == 0 {
            top.error(format_args!("no {name} are defined, there has to be at least one"));
        }
    }
    let most = transitions.len() > MAX_TRANSITIONS || watchers.len() > MAX_WATCHERS;
    if most {
        top.error(format_args!(
            "more than {MAX_TRANSITIONS} transitions or {MAX_WATCHERS} watchers are too many"
        ));
    }
    top.finish(&[]);
    if most {
        return None;
    }

    let (mut states, mut events) = (Names::default(), Names::default());
    let initial = states.number(&initial_name);
    let mut moves = Vec::new();
    let mut subscriptions = Vec::new();
    for node in transitions {
        transition(node, &mut states, &mut events, &mut moves, &mut subscriptions, findings);
    }
    if states.list.len() > MAX_NAMES || events.list.len() > MAX_NAMES {
        findings.error(at, format!("machine: more than {MAX_NAMES} states or events are too many"));
        return None;
    }
    if !initial_name.is_empty() && !moves.iter().any(|(from, _, to)| *from == initial || *to == initial) {
        let place = root.member("initial_state").map_or(at, |node| node.at);
        findings
            .warn(place, format!("machine: no transition leads from or to the initial state {initial_name}"));
    }
    // often one whose name is mistyped as a destination
    for (number, state) in (0..).zip(&states.list).filter(|(number, _)| *number != initial) {
        let (left, reached) =
            (moves.iter().any(|(from, _, _)| *from == number), moves.iter().any(|(_, _, to)| *to == number));
        if left && !reached {
            let place = root.member("transitions").map_or(at, |node| node.at);
            findings.warn(place, format!("machine: no transition leads to state {state}"));
        }
    }
    let mut seen = BTreeMap::new();
    let mut watched = Vec::with_capacity(watchers.len());
    for node in watchers {
        if let Some(one) = watcher(node, &states, &events, findings) {
            if seen.insert(one.common.name.clone(), ()).is_some() && !one.common.name.is_empty() {
                findings
                    .error(node.at, format!("watcher {}: there is another of that name", one.common.name));
            }
            watched.push(one);
        }
    }
    watched.shrink_to_fit();
    Some(Definition {
        name,
        version,
        states: states.list.into(),
        events: events.list.into(),
        initial,
        table: Table::new(moves),
        subscriptions: subscriptions.into(),
        splay,
        watchers: watched,
        warnings: Vec::new(),
    })
}

/// A list that has to be one.
fn nodes<'a>(of: &mut Properties<'a, '_>, name: &'static str) -> &'a [Node] {
    match of.get(name).map(|node| (node, &node.what)) {
        None => &[],
        Some((_, What::List(items))) => items,
        Some((node, _)) => {
            of.error_at(name, format_args!("is {} where a list is expected", node.kind()));
            &[]
        }
    }
}

/// Texts in a list that has to be one.
fn texts(of: &mut Properties<'_, '_>, name: &'static str) -> Box<[Box<str>]> {
    if let Some(Node { what: What::Scalar { text, .. }, .. }) = of.get(name) {
        let text = format!("is a single value where a list is expected, write [{text}]");
        of.error_at(name, text);
        return Box::default();
    }
    of.list(name)
}

fn plain_name(of: &mut Properties<'_, '_>, member: &'static str, name: &str) {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if name.chars().count() > MAX_NAME {
        of.error_at(member, format_args!("is longer than {MAX_NAME} characters"));
    } else if !name.is_empty() && !plain {
        of.warn_at(
            member,
            format_args!("{name} has more than letters, digits, _ and -: other tools may refuse it"),
        );
    }
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn splay(top: &mut Properties<'_, '_>) -> u32 {
    let text = top.text("splay_start");
    if text.is_empty() {
        return 0;
    }
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => seconds.clamp(0.0, MAX_SPLAY) as u32,
        _ => {
            top.error_at("splay_start", format_args!("is {text}, which is no number of seconds"));
            0
        }
    }
}

fn transition(
    node: &Node,
    states: &mut Names,
    events: &mut Names,
    moves: &mut Vec<(u16, u16, u16)>,
    subscriptions: &mut Vec<Subscription>,
    findings: &mut Findings,
) {
    let called = match node.member("name").map(|name| &name.what) {
        Some(What::Scalar { text, .. }) => format!("transition {text}"),
        _ => "transition".to_owned(),
    };
    let mut of = Properties::new(Some(node), node.at, called.clone(), findings);
    let (name, destination) = (of.text("name"), of.text("destination"));
    of.text("description");
    for (member, text) in [("name", &name), ("destination", &destination)] {
        if text.is_empty() {
            let at = format_args!("has no {member}: it leads nowhere that anybody can name");
            of.warn_at(member, at);
        }
        plain_name(&mut of, member, text);
    }
    let from = texts(&mut of, "from");
    if from.is_empty() {
        of.warn_at("from", "names no state: the transition never happens");
    }
    let followed = nodes(&mut of, "subscribe");
    of.finish(&[("subscription", "did you mean subscribe?")]);
    let event = events.number(&name);
    let to = states.number(&destination);
    for from in &from {
        let from = states.number(from);
        if moves.iter().any(|(known, by, _)| (*known, *by) == (from, event)) {
            let text = format!("{called}: it leads from one state more than once, the last counts");
            findings.warn(node.at, text);
        }
        moves.push((from, event, to));
    }
    for node in followed {
        let mut of = Properties::new(Some(node), node.at, format!("{called}: subscription"), findings);
        let (machine, followed) = (of.required("machine_name"), of.required("event"));
        of.finish(&[("machine", "did you mean machine_name?")]);
        subscriptions.push(Subscription { machine, event: followed, leads_to: event });
    }
}

/// Members that stand one level too high.
const BELOW: [(&str, &str); 8] = [
    ("timeout", "it belongs below properties"),
    ("command", "it belongs below properties"),
    ("plugin", "it belongs below properties"),
    ("builtin", "it belongs below properties"),
    ("path", "it belongs below properties"),
    ("duration", "it belongs below properties"),
    ("schedules", "it belongs below properties"),
    ("timer", "it belongs below properties"),
];

/// Members that stand one level too deep, and one of another name.
const BESIDE: [(&str, &str); 7] = [
    ("interval", "it belongs beside properties"),
    ("state_match", "it belongs beside properties"),
    ("success_transition", "it belongs beside properties"),
    ("fail_transition", "it belongs beside properties"),
    ("announce_interval", "it belongs beside properties"),
    ("foreign_state_required", "it belongs beside properties"),
    ("content", "did you mean contents?"),
];

fn watcher(node: &Node, states: &Names, events: &Names, findings: &mut Findings) -> Option<Watched> {
    let called = match node.member("name").map(|name| &name.what) {
        Some(What::Scalar { text, .. }) => format!("watcher {text}"),
        _ => "watcher".to_owned(),
    };
    let mut of = Properties::new(Some(node), node.at, called.clone(), findings);
    let (name, kind_name) = (of.required("name"), of.text("type"));
    plain_name(&mut of, "name", &name);
    let matched = texts(&mut of, "state_match");
    let mut matching = Vec::with_capacity(matched.len());
    for state in &matched {
        match states.find(state) {
            Some(number) => matching.push(number),
            None => of.error_at(
                "state_match",
                format_args!("names the state {state}, which no transition leads from or to"),
            ),
        }
    }
    let event = |of: &mut Properties<'_, '_>, member: &'static str| -> Option<u16> {
        let name = of.text(member);
        if name.is_empty() {
            return None;
        }
        let found = events.find(&name);
        if found.is_none() {
            of.error_at(member, format_args!("names the transition {name}, which is not defined"));
        }
        found
    };
    let (success, failure) = (event(&mut of, "success_transition"), event(&mut of, "fail_transition"));
    let announce = length(&mut of, "announce_interval", Duration::from_secs(60), "1m");
    let foreign = nodes(&mut of, "foreign_state_required");
    let kind = watchers::find(&kind_name);
    if let Err(problem) = &kind {
        of.error_at("type", problem);
    }
    let interval = match &kind {
        Ok(kind) => length(&mut of, "interval", kind.least, &duration::show(kind.least.as_nanos() as i64)),
        Err(_) => {
            of.get("interval");
            None
        }
    };
    let properties = of.get("properties");
    of.finish(&BELOW);

    let mut required = Vec::with_capacity(foreign.len());
    for node in foreign {
        let mut of =
            Properties::new(Some(node), node.at, format!("{called}: foreign_state_required"), findings);
        let (machine, state) = (of.text("machine_name"), of.text("state"));
        if machine.is_empty() || state.is_empty() {
            of.warn_at("state", "or machine_name is missing: the watcher never does anything");
        }
        of.finish(&[("machine_state", "did you mean state?"), ("machine", "did you mean machine_name?")]);
        required.push((machine, state));
    }
    let kind = kind.ok()?;
    let missing = Status::ALL.into_iter().filter(|status| events.find(status.as_str()).is_none());
    let missing: Vec<&str> = missing.map(Status::as_str).collect();
    if kind.name == "nagios" && !missing.is_empty() {
        let text =
            format!("{called}: the machine has no transition {}, which a check fires", missing.join(", "));
        findings.warn(node.at, text);
    }
    let mut common = Common {
        name,
        kind: kind.name,
        states: States::new(&matching),
        foreign: required.into(),
        success,
        failure,
        interval: interval.or(kind.interval),
        announce,
    };
    let at = properties.map_or(node.at, |properties| properties.at);
    let mut of = Properties::new(properties, at, called, findings);
    let does = (kind.compile)(&mut of, &mut common);
    for (member, named) in does.states() {
        for state in named.iter().filter(|state| states.find(state).is_none()) {
            of.warn_at(member, format_args!("names the state {state}, which no transition leads from or to"));
        }
    }
    of.finish(&BESIDE);
    Some(Watched { common, does })
}

/// A length of time that must not be below `least`.
fn length(
    of: &mut Properties<'_, '_>,
    member: &'static str,
    least: Duration,
    shown: &str,
) -> Option<Duration> {
    let text = of.text(member);
    if text.trim().is_empty() {
        return None;
    }
    match duration::interval(&text) {
        Err(e) => of.error_at(member, format_args!("is wrong: {e}")),
        Ok(nanoseconds) => match u64::try_from(nanoseconds).map(Duration::from_nanos) {
            Ok(length) if length >= least => return Some(length),
            _ => of.error_at(member, format_args!("is {text}, which is too small: at least {shown}")),
        },
    }
    None
}
