//! Asks nodes for a fact by a typed client, which was made by
//! `choria plugin generate client rpcutil --language rust`.
//!
//!     cargo run --example rpcutil_client -- client.conf country n1.example.net n2.example.net

mod rpcutil;

use std::sync::Arc;

use choria::core::client::{Client, ClientOptions};
use choria::core::config::{Config, Role, System};
use choria::core::security::Provider;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(file), Some(fact)) = (words.next(), words.next()) else {
        anyhow::bail!("name a client configuration, a fact and nodes");
    };
    let config = Arc::new(Config::load(Role::Client, Some(file.as_ref()), &System)?);
    let provider = Arc::new(Provider::new(&config, Role::Client, &System)?);
    let client = Client::connect(config, &provider, &System, ClientOptions::default()).await?;
    let input = rpcutil::GetFactInput { fact };
    for reply in rpcutil::get_fact(&client, words.collect(), input).await? {
        println!("{}: {} {:?}", reply.sender, reply.statusmsg, reply.outputs.value);
    }
    client.session().close().await;
    Ok(())
}
