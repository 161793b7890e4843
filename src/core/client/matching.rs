//! Replies a person wants to see.

use serde_json::Value;

use super::rpc::RpcReply;
use crate::core::protocol::filter::{ExprError, ReplyFilter, ReplyView};

impl RpcReply {
    /// Whether a filter keeps this reply.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn kept_by(&mut self, filter: &ReplyFilter) -> Result<bool, ExprError> {
        // The filter looks paths up in one value; the outputs are lent for that.
        let data = Value::Object(std::mem::take(&mut self.body.data));
        let kept = filter.keeps(&ReplyView {
            sender: &self.sender,
            code: self.body.statuscode.code(),
            message: &self.body.statusmsg,
            data: &data,
            time: self.time,
        });
        if let Value::Object(data) = data {
            self.body.data = data;
        }
        kept
    }
}
