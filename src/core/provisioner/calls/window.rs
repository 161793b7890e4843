//! Requests that are equal for many nodes: signed once, published to each.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Calls;
use crate::core::protocol::filter::Filter;
use crate::core::protocol::v1::new_request_id;

/// How long equal requests are gathered.
const WINDOW: Duration = Duration::from_millis(20);
/// Most nodes of one window.
const WINDOW_NODES: usize = 200;

pub(super) struct Window {
    request_id: Arc<str>,
    to: Vec<To>,
}

/// Where a request goes, and where the answer is to come.
pub(super) struct To {
    pub subject: String,
    pub token: Arc<str>,
    /// Whether the broker is to say when nobody listens.
    pub tell: bool,
}

impl Calls {
    /// Joins or opens the window of an equal request.
    pub(super) fn join_window(&self, to: To, agent: &'static str, body: String) -> Arc<str> {
        let mut windows = self.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let full = windows.get(&body).is_some_and(|window| window.to.len() >= WINDOW_NODES);
        if full && let Some(window) = windows.remove(&body) {
            self.send_window(agent, body.clone(), window);
        }
        if let Some(window) = windows.get_mut(&body) {
            window.to.push(to);
            return window.request_id.clone();
        }
        let request_id: Arc<str> = new_request_id().into();
        windows.insert(body.clone(), Window { request_id: request_id.clone(), to: vec![to] });
        let (calls, opened) = (self.clone(), request_id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(WINDOW).await;
            let mut windows = calls.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
            // it may have been full, and another be open by now
            if windows.get(&body).is_some_and(|window| window.request_id == opened)
                && let Some(window) = windows.remove(&body)
            {
                drop(windows);
                calls.send_window(agent, body, window);
            }
        });
        request_id
    }

    fn send_window(&self, agent: &'static str, body: String, window: Window) {
        let calls = self.clone();
        tokio::spawn(async move {
            let Window { request_id, to } = window;
            if let Err(error) = calls.send(&request_id, agent, body, Filter::default(), &to).await {
                tracing::warn!("requests to {} nodes were not sent: {error}", to.len());
                // who waits for their answers is told
                to.iter().for_each(|to| calls.0.awaited.forget(&to.token));
            }
        });
    }
}
