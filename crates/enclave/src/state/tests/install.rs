//! What a bundle has to show before it is installed.

use super::common::*;

const SUITE: Suite = Suite::X25519ChaCha20Poly1305;

fn refused(end: &mut End, install: Install) -> String {
    end.failed(Call::Install(Box::new(install)))
}

#[test]
fn a_bundle_is_of_this_incarnation_and_installed_once() {
    let mut w = World::new();
    let binding = w.binding(SUITE);
    let granted = |w: &World| w.install(&binding, true);
    let wrong: [fn(&mut Install); 4] = [
        |install| install.binding.consumer.endpoint = [9; 16],
        |install| install.binding.consumer.key = install.binding.producer.key,
        |install| install.binding.consumer.key = install.peer.signing_key,
        |install| install.consumer = false,
    ];
    for change in wrong {
        let mut install = granted(&w);
        change(&mut install);
        assert_eq!(refused(&mut w.consumer, install), "not-ours");
    }
    let mut none = granted(&w);
    none.max_lanes = 0;
    assert_eq!(refused(&mut w.consumer, none), "malformed");
    let install = granted(&w);
    let installed = w.consumer.installed(install);
    assert!(installed.peer.is_some() && !installed.pinned);
    let install = granted(&w);
    assert_eq!(refused(&mut w.consumer, install), "installed");
    // Nor after it was erased.
    w.consumer.done(Call::Erase { bundle: BUNDLE });
    let install = granted(&w);
    assert_eq!(refused(&mut w.consumer, install), "draw-over");
}

#[test]
fn draws_ascend_for_each_pair() {
    let mut w = World::new();
    w.draw = 5;
    let install = w.install(&w.binding(SUITE), true);
    w.consumer.installed(install);
    let bundle = |w: &World, draw, bundle, pair| {
        let binding = Binding {
            draw,
            bundle: [bundle; 16],
            pair: [pair; 16],
            ..w.binding(SUITE)
        };
        w.install(&binding, true)
    };
    for draw in [4, 5] {
        let install = bundle(&w, draw, 1, PAIR[0]);
        assert_eq!(refused(&mut w.consumer, install), "draw-over");
    }
    let install = bundle(&w, 1, 2, 0x55);
    w.consumer.installed(install);
    let install = bundle(&w, 6, 3, PAIR[0]);
    // What is known of the peer has not changed.
    assert!(w.consumer.installed(install).peer.is_none());
}

#[test]
fn what_was_not_minted_for_this_policy_does_not_open() {
    let mut w = World::new();
    let mut install = w.install(&w.binding(SUITE), true);
    install.binding.policy[0] ^= 1;
    assert_eq!(refused(&mut w.consumer, install), "envelope");
    // A failed call has changed nothing.
    let install = w.install(&w.binding(SUITE), true);
    assert!(w.consumer.installed(install).peer.is_some());
}

#[test]
fn a_peer_is_whom_its_long_term_key_says() {
    let mut w = World::new();
    let binding = w.binding(SUITE);
    let mut install = w.install(&binding, true);
    install.peer.signing_key = long_term(0x40).verifying_key().to_bytes();
    assert_eq!(refused(&mut w.consumer, install), "signature");
    let mut install = w.install(&binding, true);
    install.peer.start = w.consumer.start.clone();
    assert_eq!(refused(&mut w.consumer, install), "subject");
    // The binding names a key that no start reaches.
    let mut install = w.install(&binding, true);
    install.binding.producer.key = long_term(0x40).verifying_key().to_bytes();
    assert_eq!(refused(&mut w.consumer, install), "peer-key");
}

#[test]
fn a_bundle_names_the_key_after_the_renewals() {
    let mut w = World::new();
    let before = w.binding(SUITE);
    let old = w.install(&before, true);
    w.producer.renew();
    let mut renewed = w.install(&w.binding(SUITE), true);
    renewed.binding.draw = 1;
    let mut without = w.install(&w.binding(SUITE), true);
    without.peer.renewals.clear();
    assert_eq!(refused(&mut w.consumer, without), "peer-key");
    let installed = w.consumer.installed(renewed);
    // Of an earlier key nothing is installed any more.
    let mut late = old;
    late.binding.bundle = [1; 16];
    late.binding.draw = 2;
    assert_eq!(refused(&mut w.consumer, late), "peer-key");
    // The producer's own key is the one that the bundle names.
    let install = w.install(&w.binding(SUITE), false);
    w.producer.installed(install);
    let lane = w.opened(None);
    w.exchange(lane);
    assert!(installed.peer.is_some());
}

#[test]
fn an_old_key_signs_in_the_bundles_that_name_it() {
    let mut w = World::new();
    let binding = w.binding(SUITE);
    let grants = [w.install(&binding, true), w.install(&binding, false)];
    w.consumer.renew();
    w.producer.renew();
    let [consumer, mut producer] = grants;
    w.producer.done(known(Vec::new(), Vec::new()));
    w.consumer.installed(consumer);
    producer.peer.renewals.clear();
    w.producer.installed(producer);
    let bound = Arc::new(binding.context().unwrap());
    let (lane, head) = w.open(None).unwrap();
    let ticket = armour_protocol::v2::message::SignedTicket::from_bytes(&head).unwrap();
    assert_eq!(ticket.evidence().verify(&bound), Ok(()));
    let (receipt, _) = answered(w.accept(lane, &head));
    assert!(matches!(w.receive(lane, &receipt), Ok(Received::Ready)));
}

#[test]
fn a_renewed_key_is_forgotten_with_the_last_bundle_that_names_it() {
    let mut w = World::installed(SUITE);
    let old = ed25519_dalek::VerifyingKey::from_bytes(&w.consumer.keys().0).unwrap();
    w.consumer.renew();
    let holds = |w: &World| {
        let running = w.consumer.state.identity.running();
        running.is_ok_and(|running| running.incarnation.signer(&old).is_some())
    };
    let other = Call::Erase { bundle: [9; 16] };
    w.consumer.clock.advance(3_600_000);
    w.consumer.done(other);
    assert!(holds(&w), "a bundle names it");
    w.consumer.done(Call::Erase { bundle: BUNDLE });
    assert!(!holds(&w));
    // One that was minted before the renewal may be on its way for a while.
    let mut w = World::installed(SUITE);
    let old = ed25519_dalek::VerifyingKey::from_bytes(&w.consumer.keys().0).unwrap();
    w.consumer.renew();
    w.consumer.done(Call::Erase { bundle: BUNDLE });
    let running = w.consumer.state.identity.running();
    assert!(running.is_ok_and(|running| running.incarnation.signer(&old).is_some()));
}

#[test]
fn no_earlier_start_of_a_peer_is_taken() {
    let mut w = World::new();
    let early = w.install(&w.binding(SUITE), true);
    w.producer = w.producer.restarted(Pins::default());
    w.draw = 2;
    let install = w.install(&w.binding(SUITE), true);
    let known = w.consumer.installed(install).peer.unwrap();
    let refuse = |end: &mut End| {
        let mut early = w_install(&early);
        early.binding.bundle = [1; 16];
        early.binding.draw = 3;
        refused(end, early)
    };
    assert_eq!(refuse(&mut w.consumer), "earlier-start");
    // Nor after this endpoint's own next start, which is told what was known.
    let mut next = End::new(0x20, Pins::default());
    next.done(self::known(vec![known], Vec::new()));
    let own = next.binding_end();
    let mut early = w_install(&early);
    early.binding.consumer = own;
    assert_eq!(refused(&mut next, early), "earlier-start");
    let malformed = self::known(vec![vec![1]], Vec::new());
    assert_eq!(next.failed(malformed), "version");
    let malformed = self::known(Vec::new(), vec![vec![1]]);
    assert_eq!(next.failed(malformed), "malformed");
}

fn known(peers: Vec<Vec<u8>>, pairs: Vec<Vec<u8>>) -> Call {
    Call::KnownPeers { peers, pairs }
}

/// The same once more.
fn w_install(install: &Install) -> Install {
    door(Install {
        binding: install.binding.clone(),
        consumer: install.consumer,
        peer: install.peer.clone(),
        envelope: install.envelope.clone(),
        max_lanes: install.max_lanes,
        now: install.now,
    })
}

#[test]
fn two_starts_that_cannot_both_be_are_a_copy() {
    let mut w = World::new();
    let install = w.install(&w.binding(SUITE), true);
    w.consumer.installed(install);
    // From the same folder, before the first start was kept.
    w.producer = End::new(0x30, Vec::new());
    w.draw = 2;
    let mut install = w.install(&w.binding(SUITE), true);
    install.binding.bundle = [1; 16];
    assert_eq!(refused(&mut w.consumer, install), "peer-copied");
}

#[test]
fn a_pinned_party_vouches_for_its_endpoints() {
    let mut w = World::new();
    let (party, pin) = pinned(&w.producer);
    w.consumer = End::new(0x20, vec![pin]);
    let binding = w.binding(SUITE);
    let stranger = SigningKey::from_bytes(&[0x78; 32]);
    let wrong = [
        None,
        Some(b"none".to_vec()),
        Some(certificate(&w.producer, Role::Producer, NOW - 1, &party)),
        Some(certificate(&w.producer, Role::Consumer, NOW, &party)),
        Some(certificate(&w.consumer, Role::Producer, NOW, &party)),
        Some(certificate(&w.producer, Role::Producer, NOW, &stranger)),
    ];
    for certificate in wrong {
        let mut install = w.install(&binding, true);
        install.peer.certificate = certificate;
        assert_eq!(refused(&mut w.consumer, install), "not-certified");
    }
    w.producer.certificate = Some(certificate(&w.producer, Role::Producer, NOW, &party));
    let mut install = w.install(&binding, true);
    // Whatever the log says of its key.
    install.peer.signing_key = stranger.verifying_key().to_bytes();
    assert!(w.consumer.installed(install).pinned);
    // The producer pins nobody.
    let install = w.install(&binding, false);
    assert!(!w.producer.installed(install).pinned);
    let lane = w.opened(None);
    w.exchange(lane);
}

/// The time is the proxy's word, which whoever owns the proxy gives, or the machine's clock
/// that was set back.
#[test]
fn an_earlier_clock_lets_no_expired_certificate_pass() {
    let mut w = World::new();
    let (party, pin) = pinned(&w.producer);
    w.consumer = End::new(0x20, vec![pin]);
    let binding = w.binding(SUITE);
    let expired_at = |w: &mut World, not_after, now| {
        w.producer.certificate = Some(certificate(&w.producer, Role::Producer, not_after, &party));
        let mut install = w.install(&binding, true);
        install.now = now;
        install
    };
    for now in [1, STARTED - 1] {
        let install = expired_at(&mut w, STARTED - 1, now);
        assert_eq!(refused(&mut w.consumer, install), "not-certified");
    }
    // Its own clock goes on.
    w.consumer.clock.advance(7_000);
    let install = expired_at(&mut w, STARTED + 6, 1);
    assert_eq!(refused(&mut w.consumer, install), "not-certified");
    // The control plane has dated the log's head.
    let head = |seconds: u64| {
        let mut head = vec![0; 178];
        head[42..50].copy_from_slice(&(seconds * 1_000_000).to_be_bytes());
        Call::LogHead { head }
    };
    w.consumer.done(head(NOW));
    w.consumer.done(head(STARTED));
    let install = expired_at(&mut w, NOW - 1, STARTED);
    assert_eq!(refused(&mut w.consumer, install), "not-certified");
    let install = expired_at(&mut w, NOW, STARTED);
    assert!(w.consumer.installed(install).pinned);
}

#[test]
fn a_missing_clock_is_refused_and_is_not_1970() {
    let mut w = World::new();
    let mut install = w.install(&w.binding(SUITE), true);
    install.now = 0;
    assert_eq!(refused(&mut w.consumer, install), "clock");
}

#[test]
fn a_log_head_fits_into_an_opening() {
    let mut end = End::new(0x20, Pins::default());
    let head = vec![0; armour_protocol::v2::message::MAX_LOG_HEAD + 1];
    assert_eq!(end.failed(Call::LogHead { head }), "log-head");
}

/// The control plane names the party, and can enrol an endpoint under one of its own.
#[test]
fn who_pins_takes_no_bundle_with_a_party_that_is_not_pinned() {
    let mut w = World::new();
    let (_, mut pin) = pinned(&w.producer);
    pin.party = [0x77; 16];
    w.consumer = End::new(0x20, vec![pin]);
    let install = w.install(&w.binding(SUITE), true);
    assert_eq!(refused(&mut w.consumer, install), "not-certified");
}

/// The control plane names the tenant at the enrolment, and can run one of its own.
#[test]
fn who_pins_takes_no_bundle_of_a_tenant_that_is_not_pinned() {
    let mut w = World::new();
    let (_, mut pin) = pinned(&w.producer);
    pin.tenant = [0x77; 16];
    w.consumer = End::new(0x20, vec![pin]);
    let install = w.install(&w.binding(SUITE), true);
    assert_eq!(refused(&mut w.consumer, install), "not-certified");
}

/// A second producer, of another party, whose endpoint its own party certifies; and what the
/// consumer is granted with it.
struct Other {
    end: End,
    pin: Pin,
}

impl Other {
    fn new() -> Self {
        let mut end = End::new(0x40, Pins::default());
        let party = SigningKey::from_bytes(&[0x78; 32]);
        let pin = Pin {
            tenant: TENANT,
            party: [end.party; 16],
            key: party.verifying_key(),
        };
        end.certificate = Some(certificate(&end, Role::Producer, NOW, &party));
        Self { end, pin }
    }

    /// The producer's party certifies its endpoint, too. Its pin.
    fn beside(w: &mut World) -> (Self, Pin) {
        let (party, pin) = pinned(&w.producer);
        w.producer.certificate = Some(certificate(&w.producer, Role::Producer, NOW, &party));
        (Self::new(), pin)
    }

    /// A bundle with it, of this pair and number.
    fn granted(&mut self, w: &mut World, pair: [u8; 16], number: u8) -> Install {
        std::mem::swap(&mut w.producer, &mut self.end);
        let binding = Binding {
            pair,
            bundle: [number; 16],
            draw: number.into(),
            ..w.binding(SUITE)
        };
        let install = w.install(&binding, true);
        std::mem::swap(&mut w.producer, &mut self.end);
        install
    }
}

const OTHER_PAIR: [u8; 16] = [0x44; 16];

/// Both are pinned, so either could be drawn for the other.
#[test]
fn no_pinned_party_stands_in_for_the_one_that_is_pinned_in_the_pair() {
    let mut w = World::new();
    let (mut other, pin) = Other::beside(&mut w);
    // Whether it is pinned in its own pair, or in any.
    for of_other in [
        Pins::from((other.pin.clone(), vec![OTHER_PAIR])),
        Pins::from(vec![other.pin.clone()]),
    ] {
        w.consumer = End::new(0x20, Pins::from((pin.clone(), vec![PAIR])).and(of_other));
        let install = other.granted(&mut w, PAIR, 1);
        assert_eq!(refused(&mut w.consumer, install), "not-certified");
        let install = other.granted(&mut w, OTHER_PAIR, 1);
        assert!(w.consumer.installed(install).pinned);
        // Nor in a pair that it is not pinned in.
        let mut install = w.install(&w.binding(SUITE), true);
        assert!(w.consumer.installed(w_install(&install)).pinned);
        install.binding.pair = OTHER_PAIR;
        install.binding.bundle = [9; 16];
        install.binding.draw = 9;
        assert_eq!(refused(&mut w.consumer, install), "not-certified");
    }
}

/// A pair has one producer and one consumer for as long as it lives.
#[test]
fn a_pair_whose_party_changes_is_refused_until_a_pin_names_it() {
    let mut w = World::new();
    let (mut other, pin) = Other::beside(&mut w);
    let both = [vec![pin], vec![other.pin.clone()]].concat();
    for pins in [Vec::new(), both] {
        w.consumer = End::new(0x20, pins.clone());
        let install = w.install(&w.binding(SUITE), true);
        let installed = w.consumer.installed(install);
        let (peer, pair) = (installed.peer.unwrap(), installed.pair.unwrap());
        let install = other.granted(&mut w, PAIR, 2);
        assert_eq!(refused(&mut w.consumer, install), "party-changed");
        // In a pair of its own it is welcome.
        let install = other.granted(&mut w, OTHER_PAIR, 2);
        assert!(w.consumer.installed(install).pair.is_some());
        let install = other.granted(&mut w, OTHER_PAIR, 3);
        assert!(w.consumer.installed(install).pair.is_none());
        // Nor after the next start, which is told what was known.
        w.consumer = w.consumer.restarted(pins.clone());
        w.consumer.done(known(vec![peer], vec![pair.clone()]));
        let install = other.granted(&mut w, PAIR, 2);
        assert_eq!(refused(&mut w.consumer, install), "party-changed");
        // A person has pinned the other one in this pair.
        let named = Pins::from((other.pin.clone(), vec![PAIR]));
        w.consumer = w.consumer.restarted(named);
        w.consumer.done(known(Vec::new(), vec![pair.clone()]));
        let install = other.granted(&mut w, PAIR, 2);
        let now = w.consumer.installed(install).pair.unwrap();
        assert_ne!(now, pair);
    }
}
