//! What the error codes of a broker mean for documents.

use kafka_protocol::error::ResponseError;

use crate::core::security::tls_errors::words;

/// What a broker says of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is written, now or when it was told before.
    Taken,
    /// Another broker may take it at once.
    Elsewhere(String),
    /// What it knows of our numbers is not what we know: we need a new name, and new numbers.
    Renumber(String),
    /// It is too large as it is.
    TooLarge(String),
    /// Something in it is wrong.
    Refused(String),
    /// Another time.
    Later(String),
}

/// The verdict of an error code of a topic.
pub(super) fn verdict(code: i16, topic: &str) -> Verdict {
    use ResponseError as Code;
    let Some(error) = ResponseError::try_from_code(code) else { return Verdict::Taken };
    let text = said(error, topic);
    match error {
        Code::DuplicateSequenceNumber => Verdict::Taken,
        Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::ProducerFenced => Verdict::Renumber(text),
        Code::MessageTooLarge | Code::RecordListTooLarge => Verdict::TooLarge(text),
        Code::InvalidRecord | Code::InvalidTimestamp => Verdict::Refused(text),
        Code::NotLeaderOrFollower
        | Code::LeaderNotAvailable
        | Code::UnknownTopicOrPartition
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::ReplicaNotAvailable
        | Code::KafkaStorageError => Verdict::Elsewhere(text),
        _ => Verdict::Later(text),
    }
}

/// An error in words, and what to do about it where that is known.
pub(super) fn said(error: ResponseError, topic: &str) -> String {
    use ResponseError as Code;
    let name = match error {
        Code::Unknown(code) => format!("error {code}"),
        known => words(&known),
    };
    match error {
        Code::TopicAuthorizationFailed => {
            format!(
                "Kafka answers: {name}: who logs in may not write there, allow it by kafka-acls.sh --add --producer --topic {topic}"
            )
        }
        Code::ClusterAuthorizationFailed => {
            format!(
                "Kafka answers: {name}: who logs in may not number what is written, allow it by kafka-acls.sh --add --producer --idempotent --topic {topic}"
            )
        }
        _ => format!("Kafka answers: {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted() {
        let later = |text: &str| Verdict::Later(text.to_owned());
        for (code, meant) in [
            (0, Verdict::Taken),
            (46, Verdict::Taken),
            (45, Verdict::Renumber("Kafka answers: out of order sequence number".into())),
            (59, Verdict::Renumber("Kafka answers: unknown producer id".into())),
            (10, Verdict::TooLarge("Kafka answers: message too large".into())),
            (87, Verdict::Refused("Kafka answers: invalid record".into())),
            (6, Verdict::Elsewhere("Kafka answers: not leader or follower".into())),
            (19, later("Kafka answers: not enough replicas")),
            (7, later("Kafka answers: request timed out")),
            (31_000, later("Kafka answers: error 31000")),
            (i16::MIN, later("Kafka answers: error -32768")),
        ] {
            assert_eq!(verdict(code, "t"), meant, "{code}");
        }
        assert!(
            matches!(verdict(29, "reg"), Verdict::Later(text) if text.ends_with("--producer --topic reg"))
        );
    }
}
