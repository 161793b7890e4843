//! The hubs a broker is a leaf of: `plugin.choria.network.leafnode_remotes`.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use choria::core::admission::Account;
use choria::core::broker::{HubAddress, Leaf, LeafProof, LeafTls};
use choria::core::config::{Config, Role, System};
use choria::core::security::{Provider, Usage};

/// As configured. Files are read, names are not looked up.
pub(super) fn leaves(config: &Config, provider: &Arc<Provider>) -> anyhow::Result<Vec<Leaf>> {
    config.choria_network_leafnode_remotes.iter().map(|name| leaf(config, provider, name)).collect()
}

fn leaf(config: &Config, provider: &Arc<Provider>, name: &str) -> anyhow::Result<Leaf> {
    let key = |rest: &str| format!("plugin.choria.network.leafnode_remote.{name}.{rest}");
    let set = |rest: &str| config.option(&key(rest)).map(str::trim).filter(|text| !text.is_empty());
    let urls = set("url").ok_or_else(|| {
        anyhow!("{} is not set: it says where the hub '{name}' of plugin.choria.network.leafnode_remotes is, as host:port", key("url"))
    })?;
    let mut addresses = Vec::new();
    for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        if url.contains('@') {
            tracing::warn!("{}: user and password of an address are never sent", key("url"));
        }
        addresses.push(url.parse::<HubAddress>().with_context(|| key("url"))?);
    }
    if addresses.is_empty() {
        bail!("{} names no hub; it is a list of host:port", key("url"));
    }
    let account = match set("account").unwrap_or("choria") {
        "choria" => Account::Choria,
        "provisioning" => Account::Provisioning,
        "system" => Account::System,
        other => bail!(
            "{}: '{other}' is no account of this broker, there are choria, provisioning and system",
            key("account")
        ),
    };
    let is_false = |text: &str| ["false", "no", "off", "0"].contains(&text.to_ascii_lowercase().as_str());
    if set("tls.verify").is_some_and(is_false) {
        bail!(
            "{} switches the check of the hub's certificate off, so that anybody could be the hub; remove it, and name its CA by {}",
            key("tls.verify"),
            key("tls.ca")
        );
    }
    let custom = ["tls.cert", "tls.key", "tls.ca"].map(|part| set(part).map(str::to_owned));
    let tls = match set("tls.disable").is_some_and(|text| !is_false(text)) {
        true => {
            tracing::warn!(
                "{} is set: all between this broker and the hub '{name}' is sent in clear text",
                key("tls.disable")
            );
            None
        }
        false if custom.iter().all(Option::is_none) => Some(tls(provider.clone(), false)),
        false => Some(tls(
            other_provider(config, provider, custom).with_context(|| key("tls.cert, .key and .ca"))?,
            true,
        )),
    };
    let proof = set("credentials").map(|file| LeafProof::Credentials(file.into()));
    Ok(Leaf { name: name.to_owned(), addresses, account, tls, proof, whereabouts: None, cluster: None })
}

/// Shows a certificate, and follows its trust. Files that are nobody else's are read again for each connection.
fn tls(provider: Arc<Provider>, own: bool) -> LeafTls {
    let trust = provider.trust();
    LeafTls {
        config: Arc::new(move || {
            let read = if own { provider.reload() } else { Ok(()) };
            read.and_then(|()| provider.client_tls()).map_err(|error| error.to_string())
        }),
        check: Arc::new(move |chain| {
            let (leaf, others) = chain.split_first().ok_or("there is none")?;
            let verdict = trust.verify(leaf, others, jiff::Timestamp::now().as_second(), Usage::Server);
            verdict.map(|_| ()).map_err(|error| error.to_string())
        }),
    }
}

/// Other files for one hub; what is not named is ours.
fn other_provider(
    config: &Config,
    provider: &Provider,
    [certificate, key, ca]: [Option<String>; 3],
) -> anyhow::Result<Arc<Provider>> {
    let own = provider.files();
    if certificate.is_some() != key.is_some() {
        bail!("a certificate goes with its key: set both or none");
    }
    let text =
        |named: Option<String>, own: &std::path::Path| named.unwrap_or_else(|| own.display().to_string());
    let lines = format!(
        "identity = {}\nplugin.security.provider = file\nplugin.security.file.certificate = {}\n\
         plugin.security.file.key = {}\nplugin.security.file.ca = {}\n",
        config.identity,
        text(certificate, &own.certificate),
        text(key, &own.key),
        text(ca, &own.ca),
    );
    let other = Config::from_text(Role::Broker, &lines)?;
    Ok(Arc::new(Provider::new(&other, Role::Broker, &System)?))
}

#[cfg(test)]
mod tests {
    use choria::core::pki::{Ca, Kind, Options};

    use super::*;

    /// A configuration, and what it makes of its leaves.
    fn read(lines: &str) -> Result<Vec<Leaf>, String> {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now().as_second();
        let ca = Ca::create(dir.path(), "Test CA", now).unwrap();
        let issued = ca.issue(Kind::Broker, "b.example.net", &Options::default(), now).unwrap();
        let (certificate, key) = (dir.path().join("b.pem"), dir.path().join("b.key"));
        issued.write_to(&certificate, &key).unwrap();
        let text = format!(
            "identity = b.example.net\nplugin.security.provider = file\nplugin.security.file.ca = {}\n\
             plugin.security.file.certificate = {}\nplugin.security.file.key = {}\n{}",
            ca.certificate_file().display(),
            certificate.display(),
            key.display(),
            lines.replace("L.", "plugin.choria.network.leafnode_remote.up."),
        );
        let config = Config::from_text(Role::Broker, &text).unwrap();
        let provider = Arc::new(Provider::new(&config, Role::Broker, &System).unwrap());
        leaves(&config, &provider).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn leaves_are_as_configured() {
        let found = read(
            "plugin.choria.network.leafnode_remotes = up\nL.url = h1:7000, leafnode://h2\nL.account = provisioning\n\
             L.credentials = /etc/up.creds\n",
        )
        .unwrap();
        let [leaf] = found.as_slice() else { panic!("{found:?}") };
        let addresses: Vec<String> = leaf.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["h1:7000", "h2:7422"]);
        assert_eq!((leaf.name.as_str(), leaf.account), ("up", Account::Provisioning));
        let Some(LeafProof::Credentials(file)) = &leaf.proof else { panic!("no credentials") };
        assert_eq!(file, std::path::Path::new("/etc/up.creds"));
        (leaf.tls.as_ref().unwrap().config)().unwrap();
        assert!(read("").unwrap().is_empty());
        let clear =
            read("plugin.choria.network.leafnode_remotes = up\nL.url = h\nL.tls.disable = yes\n").unwrap();
        assert!(clear[0].tls.is_none());
    }

    #[test]
    fn mistakes_are_told() {
        for (lines, expected) in [
            ("", "leafnode_remote.up.url is not set"),
            (
                "L.url = wss://h\n",
                "leafnode_remote.up.url: 'wss' is a protocol leafs are not connected by here",
            ),
            ("L.url = ,\n", "names no hub"),
            ("L.url = h\nL.account = blue\n", "'blue' is no account of this broker"),
            ("L.url = h\nL.tls.verify = no\n", "so that anybody could be the hub"),
            ("L.url = h\nL.tls.cert = /nowhere\n", "a certificate goes with its key"),
            ("L.url = h\nL.tls.ca = /nowhere\n", "leafnode_remote.up.tls.cert, .key and .ca: "),
        ] {
            let error = read(&format!("plugin.choria.network.leafnode_remotes = up\n{lines}")).unwrap_err();
            assert!(error.contains(expected), "{lines:?}: {error}");
        }
    }
}
