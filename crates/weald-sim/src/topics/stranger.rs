//! A stranger who says what others have not said.

use weald_core::identity::KeyStore;
use weald_pubsub::{
    AdminAction, AdminRequest, BatchMode, Draft, LeaseAction, LeaseRequest, Message, Signed,
    TopicPosition, Union,
};

use super::{Asked, Event, Topics, address, client, keys, topic};

/// The number of the stranger's key.
const KEY: u64 = 666;

impl Topics {
    /// The stranger forges something; nobody is to take it.
    pub(super) fn forge(&mut self) {
        if !self.is_open {
            return;
        }
        self.after((300_000, 3_000_000), Event::Forge);
        if self.asking.contains_key(&client::STRANGER) {
            return;
        }
        match self.random.below(3) {
            0 => self.forge_message(),
            1 => self.forge_lease(),
            _ => self.forge_union(),
        }
    }

    /// A message of the stranger's, in a publisher's name and with the sequence that is due.
    fn forge_message(&mut self) {
        let Some((_, victim)) = self.publishers.first_key_value() else { return };
        let outbox = victim.publisher.outbox();
        let draft = Draft {
            incarnation: outbox.incarnation(),
            sequence: outbox.last().next(),
            published_at: self.wall(),
            expires_at: self.wall().after(std::time::Duration::from_secs(1_000)),
            body: "forged".into(),
        };
        let own = Message::sign(&address(), draft, &keys(KEY)).expect("the key is in memory");
        let forged = Message { publisher: victim.keys.public(), ..own };
        let publish = topic().publish(vec![forged.clone()], BatchMode::Each);
        let asked = Asked::Forged("a message in another's name", vec![forged]);
        self.ask(client::STRANGER, asked, publish);
    }

    /// The end of a subscription that is another's.
    fn forge_lease(&mut self) {
        let Some((_, victim)) = self.subscribers.first_key_value() else { return };
        let wall = self.wall();
        let request = LeaseRequest {
            action: LeaseAction::Unsubscribe,
            stream: victim.subscriber_id().stream,
            nonce: u64::MAX,
            signed_at: wall,
            expires_at: wall,
            last_seen: TopicPosition::ZERO,
        };
        let own = Signed::new(&address(), request, &keys(KEY)).expect("the key is in memory");
        let forged = Signed { key: victim.keys.public(), ..own };
        let asked = Asked::Forged("the end of another's subscription", Vec::new());
        self.ask(client::STRANGER, asked, topic().lease(forged));
    }

    /// An import by somebody who is not the owner.
    fn forge_union(&mut self) {
        let action = AdminAction::Union(Union::default());
        let request = AdminRequest { signed_at: self.wall(), generation: 1, action };
        let signed = Signed::new(&address(), request, &keys(KEY)).expect("the key is in memory");
        let asked = Asked::Forged("an import of a stranger", Vec::new());
        self.ask(client::STRANGER, asked, topic().administer(signed));
    }
}
