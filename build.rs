//! Compile-time values: git revision, build date, provisioning profile.
//!
//! The date is reproducible: SOURCE_DATE_EPOCH wins, then the commit's own
//! date, then "unknown"; the clock is never asked.

use std::path::{Path, PathBuf};
use std::{env, fs, process::Command};

/// Features in the order that decides when several are on (`--all-features`):
/// the safest default first.
const PROFILES: [&str; 2] = ["stock", "seed"];

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let profile = PROFILES
        .into_iter()
        .find(|name| env::var_os(format!("CARGO_FEATURE_PROVISIONING_{}", name.to_uppercase())).is_some())
        .unwrap_or("stock");
    let path = root.join("packaging/profiles").join(format!("{profile}.toml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("profile {}: {e}", path.display()));
    // A broken profile must fail the build, not the first node that starts.
    let parsed: toml::Table = text.parse().unwrap_or_else(|e| panic!("profile {}: {e}", path.display()));
    for table in ["defaults", "provisioning"] {
        assert!(parsed.contains_key(table), "profile {} has no [{table}]", path.display());
    }

    set("CHORIA_PROFILE_NAME", profile);
    set("CHORIA_PROFILE_FILE", &path.to_string_lossy());
    // JSON is what a node reads all day; reading TOML is code that it would load for this alone.
    let json = serde_json::to_string(&parsed).expect("TOML without dates is JSON");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("profile.json"), json).expect("cargo's own directory");
    set("CHORIA_GIT_SHA", &git(&["rev-parse", "--short=8", "HEAD"]).unwrap_or_else(|| "unknown".into()));
    let epoch = env::var("SOURCE_DATE_EPOCH").ok().or_else(|| git(&["log", "-1", "--format=%ct"]));
    set("CHORIA_BUILD_EPOCH", epoch.as_deref().unwrap_or(""));
    set("CHORIA_FEATURES", &features());
    set("CHORIA_BUILD_PROFILE", &env::var("PROFILE").unwrap_or_default());
    set("CHORIA_TARGET", &env::var("TARGET").unwrap_or_default());
    set("CHORIA_RUSTC", &rustc_version());

    order_sections(&root);
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=packaging/profiles");
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/refs/heads");
}

/// Has the linker keep cold code apart, in builds that are meant to be used. Rust's
/// own linker and GNU's can; who has chosen another one in RUSTFLAGS goes without.
fn order_sections(root: &Path) {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|v| v == value);
    let chosen = env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    if is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") && !chosen {
        for script in ["node.ld", "cold.ld"] {
            let script = root.join("packaging/link").join(script);
            println!("cargo:rustc-link-arg-bin=choria=-Wl,-T,{}", script.display());
        }
        if packs_relocations() {
            println!("cargo:rustc-link-arg-bin=choria=-Wl,-z,pack-relative-relocs");
        }
    }
    println!("cargo:rerun-if-changed=packaging/link");
}

/// Whether the C library of this machine, which the program is for, reads packed relocations
/// (glibc 2.36): a megabyte that each process does not hold. What packages ship runs on older
/// systems too, which profile `dist` is for; cargo tells it by its directory alone.
fn packs_relocations() -> bool {
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    if out.components().any(|part| part.as_os_str() == "dist") {
        return false;
    }
    let native = env::var("HOST").ok() == env::var("TARGET").ok();
    let asked = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = asked.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let minor = version.as_deref().and_then(|text| text.trim().strip_prefix("glibc 2.")?.parse::<u32>().ok());
    native && minor.is_some_and(|minor| minor >= 36)
}

fn set(name: &str, value: &str) {
    println!("cargo:rustc-env={name}={value}");
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn rustc_version() -> String {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok();
    output.and_then(|o| String::from_utf8(o.stdout).ok()).unwrap_or_default().trim().to_owned()
}

fn features() -> String {
    let mut names: Vec<String> = env::vars()
        .filter_map(|(key, _)| key.strip_prefix("CARGO_FEATURE_").map(str::to_lowercase))
        .filter(|name| name != "default")
        .map(|name| name.replace('_', "-"))
        .collect();
    names.sort();
    names.join(",")
}
