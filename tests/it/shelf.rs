//! A library directory with agents that are programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::network::Network;

/// Below `NAME/mcollective/agent` of the network's directory.
pub struct Shelf(PathBuf);

impl Shelf {
    pub fn of(network: &Network, name: &str) -> Shelf {
        let dir = network.path(name);
        fs::create_dir_all(dir.join("mcollective/agent")).expect("a directory");
        Shelf(dir)
    }

    /// Lines for a node that hosts what is here.
    pub fn lines(&self) -> String {
        format!("plugin.choria.agent_provider.mcorpc.libdir = {}\n", self.0.display())
    }

    /// Lines for a caller who knows the interfaces here.
    pub fn libdir(&self) -> String {
        format!("libdir = {}\n", self.0.display())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join("mcollective/agent").join(name)
    }

    /// A file, in one step.
    pub fn put(&self, name: &str, text: &str) -> PathBuf {
        self.put_with_mode(name, text, 0o644)
    }

    /// A program, in one step.
    pub fn program(&self, name: &str, text: &str) -> PathBuf {
        self.put_with_mode(name, text, 0o755)
    }

    /// One in shell.
    pub fn shell(&self, name: &str, text: &str) -> PathBuf {
        self.program(name, &format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n"))
    }

    fn put_with_mode(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("not the root")).expect("a directory");
        let temporary = path.with_extension("new");
        fs::write(&temporary, text).expect("a file");
        fs::set_permissions(&temporary, fs::Permissions::from_mode(mode)).expect("a mode");
        fs::rename(&temporary, &path).expect("a file");
        path
    }

    pub fn ddl(&self, ddl: &Value) -> PathBuf {
        let name = ddl["metadata"]["name"].as_str().expect("a name");
        self.put(&format!("{name}.json"), &ddl.to_string())
    }

    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.expect("it was there");
    }
}

/// The interface of an external agent with these actions.
pub fn ddl(name: &str, version: &str, timeout: u64, actions: Value) -> Value {
    json!({
        "$schema": "https://choria.io/schemas/mcorpc/ddl/v1/agent.json",
        "metadata": {"name": name, "description": "Demo", "author": "A <a@example.net>", "license": "Apache-2.0",
            "version": version, "url": "https://example.net", "timeout": timeout, "provider": "external"},
        "actions": actions,
    })
}

/// An action that takes these inputs.
pub fn action(name: &str, inputs: Value, outputs: Value) -> Value {
    json!({"action": name, "description": "It", "display": "always", "input": inputs, "output": outputs})
}

/// A text input.
pub fn text(optional: bool) -> Value {
    json!({"prompt": "P", "description": "D", "type": "string", "optional": optional,
        "validation": "shellsafe", "maxlength": 80})
}

/// What agents in shell begin with: they want to be here.
pub const ACTIVATE: &str = r#"if [ "$CHORIA_EXTERNAL_PROTOCOL" = io.choria.mcorpc.external.v1.activation_request ]; then
    echo '{"activate":true}' > "$CHORIA_EXTERNAL_REPLY"
    exit 0
fi
"#;

/// Processes whose command line holds this text.
pub fn processes(text: &str) -> Vec<u32> {
    let holds = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(holds).collect()
}

/// Directories of requests that a node has left behind.
pub fn left_behind(pid: u32) -> Vec<PathBuf> {
    let prefix = format!("choria-agent-{pid}-");
    let of_node = |path: &Path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix));
    let entries = fs::read_dir(std::env::temp_dir()).expect("a directory").flatten();
    entries.map(|entry| entry.path()).filter(|path| of_node(path)).collect()
}
