//! Applications of YAML, for shells; none where they were left out.

/// Names of applications of YAML.
pub fn names() -> Vec<String> {
    #[cfg(feature = "builder")]
    return crate::cmd::builder::names();
    #[cfg(not(feature = "builder"))]
    return vec![];
}

/// What can stand in an application of YAML behind these words.
pub fn within(name: &str, typed: &[&str]) -> Vec<String> {
    #[cfg(feature = "builder")]
    return crate::cmd::builder::words(name, typed);
    #[cfg(not(feature = "builder"))]
    {
        let _ = (name, typed);
        vec![]
    }
}
