//! What a coordinator checks of an action before it is logged: signatures, which members do not check
//! again at apply unless the policy is strict.

use weald_core::{
    Action, ActionBody, Digest, codec,
    identity::{Claim, verify_all},
};

use super::{Topic, TopicType, operation::TopicOperation};
use crate::{TopicAddress, TopicId, TopicRefusal, kind};

impl Topic {
    /// Whether `action` may be logged in `network`, as far as it is a topic's: each message is signed
    /// by its publisher. About 50 us of processor time for a message alone, less for many.
    ///
    /// # Errors
    /// [`TopicRefusal::BadSignature`]; [`TopicRefusal::Invalid`] when it is no operation of a topic.
    pub fn check_signatures(action: &Action, network: &Digest) -> Result<(), TopicRefusal> {
        let claims = Self::claims(action, network)?;
        verify_all(&claims).map_err(|_| TopicRefusal::BadSignature)
    }

    /// What [`Topic::check_signatures`] checks, to be checked together with other actions: one claim
    /// for each message that `action` publishes, in order.
    ///
    /// # Errors
    /// [`TopicRefusal::Invalid`] when it is no operation of a topic.
    pub fn claims(action: &Action, network: &Digest) -> Result<Vec<Claim>, TopicRefusal> {
        let ActionBody::Apply(operation) = &action.body else { return Ok(Vec::new()) };
        if action.type_name != TopicType::type_name() {
            return Ok(Vec::new());
        }
        let invalid = || TopicRefusal::Invalid("not an operation of a topic".into());
        let topic = TopicId::of_collection(&action.collection).ok_or_else(invalid)?;
        let address = TopicAddress { network: *network, topic };
        let operation = codec::decode(kind::OPERATION, operation).map_err(|_| invalid())?;
        Ok(match operation {
            TopicOperation::Publish { messages, .. } => {
                messages.iter().map(|message| message.claim(&address)).collect()
            }
            // These are checked at apply.
            TopicOperation::Skip(_)
            | TopicOperation::Lease(_)
            | TopicOperation::Group(_)
            | TopicOperation::Prune { .. }
            | TopicOperation::Admin(_) => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use weald_core::identity::KeyStore;

    use super::*;
    use crate::{
        BatchMode,
        testing::{address, identity, message, topic},
    };

    #[test]
    fn ps1671_a_message_that_its_publisher_did_not_sign_is_not_logged() {
        let network = address().network;
        let good = message(&identity(1), 1, "x");
        let publish = |message| topic().publish(vec![message], BatchMode::Each);
        assert_eq!(Topic::check_signatures(&publish(good.clone()), &network), Ok(()));
        let forged = crate::Message { publisher: identity(2).public(), ..good.clone() };
        let other = crate::Message { body: "y".into(), ..good.clone() };
        for bad in [forged, other] {
            let checked = Topic::check_signatures(&publish(bad), &network);
            assert_eq!(checked, Err(TopicRefusal::BadSignature));
        }
        let elsewhere = Digest::of("another network", &[]);
        let checked = Topic::check_signatures(&publish(good), &elsewhere);
        assert_eq!(checked, Err(TopicRefusal::BadSignature));
        let action = topic().prune(1);
        let collection = "stock".parse().unwrap();
        let misplaced = Topic::check_signatures(&Action { collection, ..action }, &network);
        assert!(matches!(misplaced, Err(TopicRefusal::Invalid(_))));
    }
}
