//! One of several alertds tells, and the others know what it told.

use anyhow::Context as _;
use choria::core::client::Client;
use choria::core::scout::alerts::{Elected, Shared};
use choria::core::streams::election::{BUCKET, Campaign, Happened};
use tokio::sync::{Mutex, mpsc};

use super::telling::{Telling, now};
use crate::cmd::out::errln;

/// Has this one take part.
pub(super) async fn elect(client: &Client, elected: &Elected) -> anyhow::Result<(Campaign, Shared)> {
    let streams = client.streams();
    let shared = Shared::find(&streams, &elected.bucket, &elected.election).await.context("bucket")?;
    let name = format!("{} {}", client.config().identity, std::process::id());
    let campaign = Campaign::new(&streams, BUCKET, &elected.election, &name).await.context("election")?;
    Ok((campaign, shared))
}

/// Follows what happens in the election; for ever where there is none.
pub(super) async fn follow(campaign: Option<Campaign>, shared: Option<&Mutex<Shared>>, telling: &Telling) {
    let (Some(campaign), Some(shared)) = (campaign, shared) else { return std::future::pending().await };
    let (sink, mut happened) = mpsc::unbounded_channel();
    let mut leads = false;
    let running = campaign.run(|what| {
        match what {
            Happened::Won => leads = true,
            Happened::Lost => leads = false,
            Happened::Voted(_) => {}
        }
        if leads {
            telling.believe(campaign.ttl());
        }
        if !matches!(what, Happened::Voted(_)) {
            let _ = sink.send(what);
        }
    });
    let following = async {
        while let Some(what) = happened.recv().await {
            if what == Happened::Won {
                go_on(shared, telling).await;
                errln!("Elected: this one tells now");
            } else {
                errln!("No longer elected: another one tells");
            }
            telling.lead(what == Happened::Won);
        }
    };
    tokio::select! {
        () = running => {}
        () = following => {}
    }
}

/// Goes on where the last leader was. Where nobody knows, this one's own knowledge has to do: told twice is better
/// than not at all.
async fn go_on(shared: &Mutex<Shared>, telling: &Telling) {
    let problem = match shared.lock().await.read().await {
        Ok(None) => return,
        Ok(Some(text)) => {
            let mut done = Ok(());
            telling.heard(|all| done = all.go_on(&text, now()));
            match done {
                Ok(()) => return,
                Err(problem) => problem,
            }
        }
        Err(e) => e.to_string(),
    };
    tracing::error!("what the last one told is not known, some of it may be told again: {problem}");
}
