//! Which nodes are meant, as definitions say it; all of it are templates.

use crate::core::builder::compile::Reading;
use crate::core::builder::scope::Scope;

/// Which nodes are meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The collective.
    pub collective: String,
    /// `-F`
    pub facts: Vec<String>,
    /// `-A`
    pub agents: Vec<String>,
    /// `-C`
    pub classes: Vec<String>,
    /// `-I`
    pub identities: Vec<String>,
    /// `-W`
    pub combined: Vec<String>,
    /// `-S`
    pub compound: String,
    /// `--dm`
    pub method: String,
    /// `--do`
    pub options: Vec<(String, String)>,
    /// Seconds that discovery takes at most.
    pub timeout: Option<u64>,
    /// Whether discovery ends soon after the last answer.
    pub dynamic: bool,
    /// `--nodes`
    pub nodes_file: String,
}

impl Filter {
    /// With the values of one run. What stands in a definition narrows the fleet down: where it
    /// comes out empty, say of an argument that nobody gave, all nodes would be meant.
    ///
    /// # Errors
    /// A template of it fails or comes out empty; a sentence.
    pub fn rendered(&self, scope: &Scope<'_>) -> Result<Filter, String> {
        let one = |key: &str, text: &str| {
            let made = scope.render(text).map_err(|e| format!("filter: {key}: {e}"))?;
            match made.trim().is_empty() && !text.is_empty() {
                true => Err(format!(
                    "filter: {key}: '{text}' comes out empty, and would mean more nodes than it should"
                )),
                false if matches_all(&made) && !matches_all(text) => Err(format!(
                    "filter: {key}: '{text}' comes out with a regular expression that is empty, and would mean more \
                     nodes than it should"
                )),
                false => Ok(made),
            }
        };
        let all =
            |key: &str, texts: &[String]| texts.iter().map(|text| one(key, text)).collect::<Result<_, _>>();
        let option = |(name, value): &(String, String)| Ok((name.clone(), one("discovery_options", value)?));
        Ok(Filter {
            collective: one("collective", &self.collective)?,
            facts: all("facts", &self.facts)?,
            agents: all("agents", &self.agents)?,
            classes: all("classes", &self.classes)?,
            identities: all("identities", &self.identities)?,
            combined: all("combined", &self.combined)?,
            compound: one("compound", &self.compound)?,
            method: one("discovery_method", &self.method)?,
            options: self.options.iter().map(option).collect::<Result<_, String>>()?,
            timeout: self.timeout,
            dynamic: self.dynamic,
            nodes_file: one("nodes_file", &self.nodes_file)?,
        })
    }
}

/// Whether there is a regular expression in it that is empty: `//`, alone, as a value or among others.
fn matches_all(text: &str) -> bool {
    let apart = |c: char| c.is_whitespace() || "'\"`(),=~<>!".contains(c);
    text.split(apart).any(|word| matches!(word, "//" | "//i"))
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Filter {
    let Some(mut of) = of.inner("filter") else { return Filter::default() };
    let filter = Filter {
        collective: of.template("collective"),
        facts: of.templates("facts"),
        agents: of.templates("agents"),
        classes: of.templates("classes"),
        identities: of.templates("identities"),
        combined: of.templates("combined"),
        compound: of.template("compound"),
        method: of.template("discovery_method"),
        options: of.template_labels("discovery_options"),
        timeout: of.number("discovery_timeout", 86_400),
        dynamic: of.flag("dynamic_discovery_timeout"),
        nodes_file: of.template("nodes_file"),
    };
    of.finish(&[]);
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_expression_is_found_wherever_it_is() {
        for text in ["//", "country=//", "country=~//", "//i", "apache //", "with('//') and x", "a(\"//\")"] {
            assert!(matches_all(text), "{text}");
        }
        for text in ["", "/web/", "a=/b//c/", "http://x/", "/ /", "n1.example.net", "/a/ /b/"] {
            assert!(!matches_all(text), "{text}");
        }
    }
}
