//! The text of one policy file → rules that decide (spec 02 §6.1).
//!
//! A rule is four or five columns between tabs: `allow` or `deny`, callers,
//! actions, facts, classes. The first rule that matches decides, otherwise the
//! last `policy default` line, wherever it stands. What the original accepts,
//! skips and fails on is kept, because one request is judged by every node of
//! a mixed fleet, but for one thing: the original skips what it cannot read,
//! also where that was to deny. Here a rule that is not known to allow counts
//! for whoever it may be about, column by column (see `rule`).

use super::groups::Groups;
use super::rule::{Rule, Who};
use super::{AuthzRequest, Outcome};
use crate::core::protocol::filter::Facts;

/// Longest line; the original fails the whole evaluation at a longer one.
const MAX_LINE: usize = 64 * 1024;
/// Most rules of one file.
const MAX_RULES: usize = 20_000;

/// A policy file, read.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    default: Option<bool>,
    /// Of lines that became no rule.
    problems: Vec<Problem>,
}

/// What is wrong with one line of a policy or groups file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong, what happens instead, and what to do.
    pub text: String,
}

/// What a policy says about one call: how it came about, the line that says
/// so (0 = none), and what was wrong for [`Outcome::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it came about.
    pub outcome: Outcome,
    /// Line of the file, from 1; 0 when no rule decided.
    pub line: usize,
    /// What could not be evaluated; empty unless `outcome` is an error.
    pub error: String,
}

impl Policy {
    /// Reads a policy. Nothing is an error here: what is wrong is told by
    /// [`Policy::problems`].
    pub fn parse(text: &str) -> Policy {
        let mut policy = Policy { rules: Vec::new(), default: None, problems: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            policy.read_line(index + 1, line);
            if policy.rules.len() >= MAX_RULES {
                policy.rules.push(Rule::broken(index + 1, format!("more than {MAX_RULES} rules")));
                break;
            }
        }
        policy
    }

    fn read_line(&mut self, number: usize, line: &str) {
        if line.len() > MAX_LINE {
            self.rules.push(Rule::broken(number, format!("a line longer than {MAX_LINE} bytes")));
            return;
        }
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            return;
        }
        if let Some(word) = default_word(line) {
            // Any word but "allow" denies.
            self.default = Some(word == "allow");
            if !matches!(word, "allow" | "deny") {
                self.problem(number, format!("{word:?} is neither allow nor deny: the default denies"));
            }
            return;
        }
        let verb = line.split_whitespace().next().unwrap_or_default();
        if verb.eq_ignore_ascii_case("policy") {
            // Whatever it was to say, it was not a clear "allow".
            self.default = Some(false);
            let text = "is no default: the default denies; write policy default allow or policy default deny";
            self.problem(number, text.to_owned());
            return;
        }
        match Rule::parse(number, line) {
            Ok(rule) => self.rules.push(rule),
            Err(text) => self.problem(number, text),
        }
    }

    fn problem(&mut self, line: usize, text: String) {
        self.problems.push(Problem { line, text });
    }

    /// Everything in the file that does not do what it seems to, on a node
    /// with these groups, in the order of its lines.
    pub fn problems(&self, groups: &Groups) -> Vec<Problem> {
        let of_rules = self.rules.iter().flat_map(|rule| {
            rule.problems(groups).into_iter().map(|text| Problem { line: rule.line(), text })
        });
        let mut all: Vec<Problem> = self.problems.iter().cloned().chain(of_rules).collect();
        all.sort_by_key(|problem| problem.line);
        all
    }

    /// The rules before the one that decides, by line, and why each of them does not.
    pub fn passed_over(
        &self,
        request: &AuthzRequest<'_>,
        groups: &Groups,
        classes: Option<&[String]>,
        facts: &Facts,
    ) -> Vec<(usize, Passed)> {
        let passes = |rule: &Rule| match step(rule, request, groups, classes, facts) {
            Step::Passes(why) => Some((rule.line(), why)),
            Step::Decides(_) => None,
        };
        self.rules.iter().map_while(passes).collect()
    }

    /// What the policy says about `request` on a node with these groups,
    /// classes (`None` when no classes file is configured) and facts;
    /// `allow_by_default` counts when the file names no default.
    pub fn decide(
        &self,
        request: &AuthzRequest<'_>,
        groups: &Groups,
        classes: Option<&[String]>,
        facts: &Facts,
        allow_by_default: bool,
    ) -> Verdict {
        for rule in &self.rules {
            if let Step::Decides(verdict) = step(rule, request, groups, classes, facts) {
                return verdict;
            }
        }
        let allowed = self.default.unwrap_or(allow_by_default);
        let outcome = if allowed { Outcome::DefaultAllow } else { Outcome::DefaultDeny };
        Verdict { outcome, line: 0, error: String::new() }
    }
}

/// What a rule does with a call.
enum Step {
    /// It is not about it, for this reason.
    Passes(Passed),
    Decides(Verdict),
}

/// Why a rule does not decide about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// It names other callers.
    Callers,
    /// It names other actions.
    Actions,
    /// Its facts or classes are not those of the node.
    Conditions,
}

impl Passed {
    /// The end of a sentence about the rule.
    pub fn text(self) -> &'static str {
        match self {
            Passed::Callers => "is about other callers",
            Passed::Actions => "is about other actions",
            Passed::Conditions => "is about nodes with other facts or classes",
        }
    }
}

fn step(
    rule: &Rule,
    request: &AuthzRequest<'_>,
    groups: &Groups,
    classes: Option<&[String]>,
    facts: &Facts,
) -> Step {
    let doubt = match rule.is_about(request.caller, groups) {
        Who::Others => return Step::Passes(Passed::Callers),
        Who::Caller => None,
        Who::Perhaps(doubt) => Some(doubt),
    };
    if !rule.acts_on(request.action) {
        return Step::Passes(Passed::Actions);
    }
    let decides = |outcome, error| Step::Decides(Verdict { outcome, line: rule.line(), error });
    match (rule.conditions_hold(classes, facts), doubt) {
        (Err(problem), _) => decides(Outcome::Error, problem),
        (Ok(false), _) => Step::Passes(Passed::Conditions),
        (Ok(true), Some(doubt)) => decides(Outcome::Error, doubt),
        (Ok(true), None) => {
            decides(if rule.allows() { Outcome::AllowRule } else { Outcome::DenyRule }, String::new())
        }
    }
}

/// The word of a `policy default WORD` line: letters, digits and `_`, whatever
/// follows.
fn default_word(line: &str) -> Option<&str> {
    let after = |text: &'_ str, word: &str| -> Option<usize> {
        let rest = text.strip_prefix(word)?;
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let skipped = text.len() - rest.len();
        (skipped > word.len()).then_some(skipped)
    };
    let rest = line.get(after(line, "policy")?..)?;
    let rest = rest.get(after(rest, "default")?..)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|word| !word.is_empty())
}
