//! The lease of a subscription: requests are signed and brought to the topic, one at a time.

use weald_core::identity::KeyStore;
use weald_pubsub::{
    LeaseAction, LeaseAnswer, LeaseRequest, Signed, SubscriberId, SubscriberInput, TopicRefusal,
};

use super::Task;
use crate::{
    Error, ErrorKind, Result, Weald,
    topic::{
        Topic,
        handle::key_error,
        limits::{ATTEMPT_MAX, LEASE_PAUSE},
        refusal_of,
    },
    write::{WriteOptions, undecodable},
};

/// What has come of a request.
pub(super) enum Answered {
    /// The topic has answered.
    Leased(LeaseAnswer),
    /// It has refused.
    Refused(TopicRefusal, Error),
    /// The subscription that was to end is not there: it ended, or its first request never came.
    NothingToEnd,
    /// It was not reached. The machine asks again by itself, and what ends the subscription, which it
    /// says once, is brought again.
    Unreached(LeaseRequest),
}

impl Task {
    /// Sends the request that follows, if none is on its way.
    pub(super) fn lease_on(&mut self) {
        if self.leasing.is_some() {
            return;
        }
        let Some(node) = self.node.near() else { return };
        let Some(request) = self.next_lease.take() else { return };
        let (topic, id, nonce) = (self.topic.near(node), self.id, request.nonce);
        self.leasing = Some(Box::pin(async move { (nonce, lease(topic, id, request).await) }));
    }

    pub(super) fn leased(&mut self, (nonce, answered): (u64, Answered)) {
        let shared = self.shared();
        match answered {
            Answered::Leased(answer) => {
                shared.handle(SubscriberInput::Leased(answer));
                shared.state.lock().tell_renewing(nonce, || Ok(()));
            }
            Answered::Refused(refusal, error) => {
                shared.handle(SubscriberInput::LeaseRefused(refusal));
                let again = || Err(Error::new(error.kind(), error.to_string()));
                shared.state.lock().tell_renewing(nonce, again);
            }
            Answered::NothingToEnd => {
                shared.handle(SubscriberInput::LeaseRefused(TopicRefusal::NotSubscribed));
                shared.state.lock().tell_renewing(nonce, || Ok(()));
            }
            Answered::Unreached(request) if request.action == LeaseAction::Unsubscribe => {
                self.next_lease.get_or_insert(request);
            }
            Answered::Unreached(_) => {}
        }
    }

    /// Nobody hears of the end any more.
    pub(super) fn give_up_leasing(&self) {
        let unheard = || {
            let text = "the topic was not told in time that the subscription ends; it ends there when \
                        its lease does";
            Err(Error::new(ErrorKind::Unknown, text))
        };
        self.shared().state.lock().tell_renewing(u64::MAX, unheard);
    }
}

async fn lease(topic: Topic, id: SubscriberId, request: LeaseRequest) -> Answered {
    let error = match ask(&topic, request).await {
        Ok(answer) => return Answered::Leased(answer),
        Err(error) => error,
    };
    match refusal_of(&error) {
        None => {
            tracing::debug!(target: "weald::topic", %error, "a lease was not answered");
            tokio::time::sleep(LEASE_PAUSE).await;
            Answered::Unreached(request)
        }
        Some(TopicRefusal::NotSubscribed) if request.action == LeaseAction::Unsubscribe => {
            Answered::NothingToEnd
        }
        Some(TopicRefusal::Invalid(_)) => match newer_nonce(&topic, id, &request).await {
            Some(highest) => Answered::Refused(TopicRefusal::StaleNonce { highest }, error),
            None => Answered::Refused(TopicRefusal::Invalid(error.to_string()), error),
        },
        Some(refusal) => Answered::Refused(refusal, error),
    }
}

async fn ask(topic: &Topic, request: LeaseRequest) -> Result<LeaseAnswer> {
    let keys = topic.keys()?;
    let signed = Signed::new(topic.address(), request, &*keys as &dyn KeyStore);
    let action = topic.code.lease(signed.map_err(key_error)?);
    let options = WriteOptions { timeout: Some(ATTEMPT_MAX), ..WriteOptions::default() };
    let node: &Weald = &topic.node;
    let reply = node.commit_actions(vec![action], options).await?;
    LeaseAnswer::decode(reply.answer()?).map_err(|error| undecodable(&error))
}

/// The nonce that the topic has, if it is why the request was refused: the clock was set back.
async fn newer_nonce(topic: &Topic, id: SubscriberId, request: &LeaseRequest) -> Option<u64> {
    let code = topic.code;
    let lease = topic.look(move |reader| code.lease_of(reader, &id)).await.ok()??;
    (lease.nonce >= request.nonce).then_some(lease.nonce)
}
