//! Both ends of a lane in one process: each an enclave and a proxy. All that crosses the
//! network or an enclave's door goes through its bytes, as in agents.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use armour_protocol::{
    crypto::Signer,
    v2::{
        body::Direction,
        checkpoint::{CheckpointClaim, Mark, SignedCheckpoint},
        content::{ContentClaim, DigestKind, Padding},
        context::{Binding, Context, End},
        enclave::{
            After,
            consumer::{self, Answered, Idle, Waiting},
            producer::{self, Accepted, Answering, Ready},
        },
        gate::{FRAME_PREFIX, Gate, frame_len},
        message::{Evidence, Request, Response, Side, SignedReceipt, SignedTicket},
        proof::Proof,
        proxy::{
            Arrived, Conclusion, DueCheckpoint, FirstContent, Incoming, Look, MAX_WHOLE, Outgoing,
            Pending, Read, SEGMENT_HEADER_LEN, Screen, SegmentHeader, StreamReader, StreamWriter,
            Verified, WholeContent,
        },
        schedule::BundleSecret,
        suite::Suite,
        time::{LocalTime, ProducerTime},
        transient::Answer,
    },
};
use ed25519_dalek::SigningKey;

/// What a stream begins with, in the place of a request's or a response's head.
const HEAD: &[u8] = &[1; 100];
/// Milliseconds in which a call must begin. Nobody's clock moves here.
const BUDGET: u32 = 2_000;
const NOW: (LocalTime, ProducerTime) = (LocalTime(1), ProducerTime(1));
/// How many lanes a bundle has at most.
pub const MAX_LANES: u16 = 1_000;

/// Two endpoints that share a bundle.
pub struct Bundle {
    context: Arc<Context>,
    gate: Gate,
    keys: (Signer, Signer),
    lanes: (consumer::Lanes, producer::Lanes),
}

/// Both ends of an open lane.
pub struct Lane {
    consumer: Idle,
    producer: Ready,
    screen: Screen,
}

/// Bytes on the wire of the two messages of an exchange, frames included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wire {
    /// From the consumer.
    pub request: usize,
    /// From the producer.
    pub response: usize,
}

/// A bundle with one open lane, whose messages have so much content each.
pub struct Pair {
    bundle: Bundle,
    lane: Option<Lane>,
    content: Vec<u8>,
    /// Bytes between two checkpoints of a stream.
    every: usize,
}

impl Bundle {
    /// Endpoints with fixed keys.
    ///
    /// # Errors
    /// If the two ends' gates differ.
    pub fn new(suite: Suite) -> anyhow::Result<Self> {
        let [consumer, producer] = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let end = |party, key: &SigningKey| End {
            party: [party; 16],
            endpoint: [party + 1; 16],
            key: key.verifying_key(),
        };
        let context = Arc::new(Context::new(Binding {
            suite,
            tenant: [0x10; 16],
            pair: [0x11; 16],
            bundle: [0x12; 16],
            draw: 1,
            policy: [0x13; 32],
            consumer: end(0x14, &consumer),
            producer: end(0x16, &producer),
        }));
        let secret = || BundleSecret::from_bytes([7; 32]);
        let lanes = (
            consumer::Lanes::new(context.clone(), secret(), MAX_LANES),
            producer::Lanes::new(context.clone(), secret(), MAX_LANES),
        );
        let gate = Gate::from_bytes(*lanes.0.gate().as_bytes());
        anyhow::ensure!(gate.as_bytes() == lanes.1.gate().as_bytes(), "two gates");
        Ok(Self {
            context,
            gate,
            keys: (Signer::new(&consumer), Signer::new(&producer)),
            lanes,
        })
    }

    /// What the bundle is bound to.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Opens the next lane, without log heads.
    ///
    /// # Errors
    /// If either end refuses what the other sends.
    pub fn open(&mut self) -> anyhow::Result<(Lane, Wire)> {
        let mut rng = rand::rng();
        let (opening, ticket) = self.lanes.0.fresh()?.open(&[], None, &mut rng)?;
        let request = self.frame(Direction::Request, &ticket.sign(&self.keys.0).to_bytes());
        let ticket = SignedTicket::from_bytes(self.pass(Direction::Request, &request)?)?;
        let (opened, _) = self.lanes.1.open(&ticket)?;
        let mut screen = Screen::default();
        screen.accepted(&ticket.unverified().body());
        let (producer, receipt) = opened.answer(&[], NOW.1, &mut rng)?;
        let response = self.frame(Direction::Response, &receipt.sign(&self.keys.1).to_bytes());
        let receipt = self.receipt(&response)?;
        let opened = opening.receive(&receipt, NOW.0);
        let lane = Lane {
            consumer: opened.map_err(|(_, error)| error)?,
            producer,
            screen,
        };
        Ok((lane, wire(&request, &response)))
    }

    /// An exchange without content.
    ///
    /// # Errors
    /// If either end refuses what the other sends.
    pub fn refresh(&self, lane: Lane) -> anyhow::Result<(Lane, Wire)> {
        let (lane, wire, _) = self.refreshed(lane)?;
        Ok((lane, wire))
    }

    /// An exchange without content, and what the ledger is told of it.
    ///
    /// # Errors
    /// If either end refuses what the other sends.
    pub fn refreshed(&self, lane: Lane) -> anyhow::Result<(Lane, Wire, [Evidence; 2])> {
        let mut rng = rand::rng();
        let mut screen = lane.screen;
        let (refreshing, ticket) = lane.consumer.refresh(NOW.0, &mut rng)?;
        let request = self.frame(Direction::Request, &ticket.sign(&self.keys.0).to_bytes());
        let ticket = self.ticket(&request, &mut screen)?;
        let accepted = lane.producer.accept(&ticket);
        let Accepted::Bare(bare) = accepted.map_err(|(_, error)| error)? else {
            bail!("a ticket without content");
        };
        let (after, receipt) = bare.answer(NOW.1, &mut rng)?;
        let producer::BareAfter::Ready(producer) = after else {
            bail!("the lane goes on");
        };
        let response = self.frame(Direction::Response, &receipt.sign(&self.keys.1).to_bytes());
        let receipt = self.receipt(&response)?;
        let idle = refreshing.receive(&receipt, NOW.0);
        let lane = Lane {
            consumer: idle.map_err(|(_, error)| error)?,
            producer: *producer,
            screen,
        };
        let told = [ticket.evidence(), receipt.evidence()];
        Ok((lane, wire(&request, &response), told))
    }

    /// Ends a lane; both ends keep its mark.
    ///
    /// # Errors
    /// If either end refuses what the other sends.
    pub fn close(&mut self, lane: Lane) -> anyhow::Result<()> {
        let mut rng = rand::rng();
        let mut screen = lane.screen;
        let (closing, ticket) = lane.consumer.close(NOW.0, &mut rng)?;
        let request = self.frame(Direction::Request, &ticket.sign(&self.keys.0).to_bytes());
        let ticket = self.ticket(&request, &mut screen)?;
        let accepted = lane.producer.accept(&ticket);
        let Accepted::Bare(bare) = accepted.map_err(|(_, error)| error)? else {
            bail!("a ticket without content");
        };
        let (after, receipt) = bare.answer(NOW.1, &mut rng)?;
        let producer::BareAfter::Ended(theirs) = after else {
            bail!("the lane ends");
        };
        let response = self.frame(Direction::Response, &receipt.sign(&self.keys.1).to_bytes());
        let ours = closing.receive(&self.receipt(&response)?, NOW.0);
        self.lanes.0.ended(ours.map_err(|(_, error)| error)?);
        self.lanes.1.ended(theirs);
        Ok(())
    }

    /// An exchange with the same content both ways, whole.
    ///
    /// # Errors
    /// If either end refuses what the other sends.
    pub fn exchange(&self, lane: Lane, content: &[u8]) -> anyhow::Result<(Lane, Wire)> {
        let kind = DigestKind::suited_to(content.len());
        let whole = || WholeContent::new(content, kind, Padding::Padme);
        let asked = whole()?;
        let mut sent = self.begin(lane, asked.claim())?;
        asked.seal(sent.outgoing, &mut sent.wire)?;

        let (header, sealed, rest) = segment(&sent.wire[sent.framed..])?;
        anyhow::ensure!(rest.is_empty(), "one segment");
        let pending = Pending::new(self.context.clone(), sent.incoming);
        let undecided = pending
            .receive(header, sealed)
            .map_err(|(_, error)| error)?;
        let begun = undecided.begin(NOW.1);
        let (begun, arrived) = begun.map_err(|refused| anyhow!("{:?}", refused.reason()))?;
        let Arrived::Whole(request) = arrived else {
            bail!("the request is whole");
        };
        anyhow::ensure!(request.content().len() == content.len(), "the request");

        let answer = whole()?;
        let conclusion = begun.answer(answer.claim());
        let mut replied = self.conclude(sent.answering, sent.waiting, conclusion)?;
        answer.seal(replied.outgoing, &mut replied.wire)?;
        let (header, sealed, rest) = segment(&replied.wire[replied.framed..])?;
        anyhow::ensure!(rest.is_empty(), "one segment");
        let unverified = replied.incoming.open(header, sealed)?;
        let Arrived::Whole(response) = unverified.verify(&self.context)? else {
            bail!("the response is whole");
        };
        anyhow::ensure!(response.content().len() == content.len(), "the response");
        let (After::Lane(consumer), After::Lane(producer)) = (replied.idle, replied.ready) else {
            bail!("nothing streams");
        };
        let lane = Lane {
            consumer,
            producer,
            screen: sent.screen,
        };
        Ok((lane, wire(&sent.wire, &replied.wire)))
    }

    /// An exchange with the same content both ways, as streams with a checkpoint every so
    /// many bytes; each is read as it comes.
    ///
    /// # Errors
    /// If either end refuses what the other sends.
    pub fn stream(&self, lane: Lane, content: &[u8], every: usize) -> anyhow::Result<(Lane, Wire)> {
        let kind = DigestKind::suited_to(content.len());
        let first = || FirstContent::new(HEAD, kind, Padding::Padme);
        let asked = first()?;
        let mut sent = self.begin(lane, asked.claim())?;
        let writer = asked.seal(sent.outgoing, &mut sent.wire)?;
        let (header, sealed, _) = segment(&sent.wire[sent.framed..])?;
        let pending = Pending::new(self.context.clone(), sent.incoming);
        let undecided = pending
            .receive(header, sealed)
            .map_err(|(_, error)| error)?;
        let begun = undecided.begin(NOW.1);
        let (begun, arrived) = begun.map_err(|refused| anyhow!("{:?}", refused.reason()))?;
        let Arrived::Stream(_, reader) = arrived else {
            bail!("the request is a stream");
        };
        let mut request = Flow::new(writer, reader);
        let waiting = &mut sent.waiting;
        let asked = request.run(content, every, |claim| {
            let claim = CheckpointClaim::from_bytes(&claim.to_bytes())?;
            let signed = waiting.checkpoint(claim)?.sign(&self.keys.0);
            Ok(Proof::from_bytes(&signed.proof().to_bytes())?)
        })?;

        let answer = first()?;
        let conclusion = begun.answer(answer.claim());
        let mut replied = self.conclude(sent.answering, sent.waiting, conclusion)?;
        let writer = answer.seal(replied.outgoing, &mut replied.wire)?;
        let (header, sealed, _) = segment(&replied.wire[replied.framed..])?;
        let unverified = replied.incoming.open(header, sealed)?;
        let Arrived::Stream(_, reader) = unverified.verify(&self.context)? else {
            bail!("the response is a stream");
        };
        let (After::Streaming(ours), After::Streaming(mut theirs)) = (replied.idle, replied.ready)
        else {
            bail!("both directions stream");
        };
        let mut response = Flow::new(writer, reader);
        let answered = response.run(content, every, |claim| {
            let claim = CheckpointClaim::from_bytes(&claim.to_bytes())?;
            let signed = theirs.checkpoint(claim)?.sign(&self.keys.1);
            Ok(Proof::from_bytes(&signed.proof().to_bytes())?)
        })?;
        // Each enclave is shown the end of what its proxy has read.
        let last = theirs.read_checkpoint(&asked.to_bytes())?;
        let producer = theirs.finish(Some(&last)).map_err(|(_, error)| error)?;
        let last = ours.read_checkpoint(&answered.to_bytes())?;
        let consumer = ours.finish(Some(&last)).map_err(|(_, error)| error)?;
        let lane = Lane {
            consumer,
            producer,
            screen: sent.screen,
        };
        let sizes = Wire {
            request: sent.wire.len() + request.sealed,
            response: replied.wire.len() + response.sealed,
        };
        Ok((lane, sizes))
    }

    /// A ticket from the consumer's enclave to the producer's.
    fn begin(&self, lane: Lane, claim: ContentClaim) -> anyhow::Result<Sent> {
        let claim = ContentClaim::from_bytes(&claim.to_bytes())?;
        let (waiting, ticket, outgoing) =
            lane.consumer
                .begin(claim, NOW.0, BUDGET, &mut rand::rng())?;
        let ticket = ticket.sign(&self.keys.0);
        let outgoing = Outgoing::from_bytes(&outgoing.to_bytes())?;
        let frame = self.frame(Direction::Request, &ticket.to_bytes());

        let mut screen = lane.screen;
        let ticket = self.ticket(&frame, &mut screen)?;
        let accepted = lane.producer.accept(&ticket);
        let Accepted::Call(answering, incoming) = accepted.map_err(|(_, error)| error)? else {
            bail!("the ticket carries content");
        };
        let incoming = Incoming::from_bytes(&incoming.to_bytes())?;
        Ok(Sent {
            waiting,
            outgoing,
            framed: frame.len(),
            wire: frame,
            answering,
            incoming,
            screen,
        })
    }

    /// A receipt from the producer's enclave to the consumer's.
    fn conclude(
        &self,
        answering: Answering,
        waiting: Waiting,
        conclusion: Conclusion,
    ) -> anyhow::Result<Replied> {
        let conclusion = Conclusion::from_bytes(&conclusion.to_bytes())?;
        let concluded = answering.conclude(conclusion, NOW.1, &mut rand::rng());
        let concluded = concluded.map_err(|(_, error)| error)?;
        let receipt = concluded.receipt.sign(&self.keys.1);
        let outgoing = concluded.outgoing.context("the receipt carries content")?;
        let outgoing = Outgoing::from_bytes(&outgoing.to_bytes())?;
        let frame = self.frame(Direction::Response, &receipt.to_bytes());

        let received = waiting.receive(&self.receipt(&frame)?, NOW.0);
        let received = received.map_err(|(_, error)| error)?;
        let Answered::Content(incoming) = received.answer else {
            bail!("the receipt carries content");
        };
        let incoming = Incoming::from_bytes(&incoming.to_bytes())?;
        Ok(Replied {
            ready: concluded.lane,
            outgoing,
            framed: frame.len(),
            wire: frame,
            idle: received.lane,
            incoming,
        })
    }

    fn frame(&self, direction: Direction, head: &[u8]) -> Vec<u8> {
        self.gate.frame(direction, head)
    }

    fn pass<'a>(&self, direction: Direction, frame: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let (prefix, rest) = frame
            .split_first_chunk::<FRAME_PREFIX>()
            .context("a frame")?;
        anyhow::ensure!(frame_len(*prefix)? == rest.len(), "a frame's length");
        Ok(self.gate.check(direction, rest)?)
    }

    /// A ticket as the producer's enclave reads it, after its proxy has looked at it.
    fn ticket(&self, frame: &[u8], screen: &mut Screen) -> anyhow::Result<SignedTicket> {
        let head = self.pass(Direction::Request, frame)?;
        let body = SignedTicket::from_bytes(head)?.unverified().body();
        anyhow::ensure!(screen.look(&body) == Look::Ask, "a ticket that was seen");
        screen.accepted(&body);
        Ok(SignedTicket::from_bytes(head)?)
    }

    /// A receipt as the consumer's enclave reads it, after its proxy has looked at it.
    fn receipt(&self, frame: &[u8]) -> anyhow::Result<SignedReceipt> {
        let head = self.pass(Direction::Response, frame)?;
        let Answer::Receipt(_) = Answer::from_bytes(head)? else {
            bail!("a receipt was sent");
        };
        Ok(SignedReceipt::from_bytes(head)?)
    }
}

impl Lane {
    /// The consumer's enclave's part, and the producer's.
    pub fn into_ends(self) -> (Idle, Ready) {
        (self.consumer, self.producer)
    }
}

impl Pair {
    /// An open lane whose messages have so many bytes of content each: whole, or as
    /// streams with a checkpoint every `every` bytes.
    ///
    /// # Errors
    /// If the opening exchange fails.
    pub fn new(suite: Suite, content: usize, every: usize) -> anyhow::Result<Self> {
        let mut bundle = Bundle::new(suite)?;
        let (lane, _) = bundle.open()?;
        Ok(Self {
            bundle,
            lane: Some(lane),
            content: vec![1; content],
            every,
        })
    }

    /// One exchange, content both ways.
    ///
    /// # Errors
    /// If either end refuses what the other sends.
    pub fn exchange(&mut self) -> anyhow::Result<Wire> {
        let lane = self.lane.take().context("the lane")?;
        let (lane, wire) = match self.content.len() {
            0..=MAX_WHOLE => self.bundle.exchange(lane, &self.content)?,
            _ => self.bundle.stream(lane, &self.content, self.every)?,
        };
        self.lane = Some(lane);
        Ok(wire)
    }
}

/// A request that was sent, and accepted.
struct Sent {
    waiting: Waiting,
    outgoing: Outgoing<Request>,
    wire: Vec<u8>,
    /// Bytes of the frame, before the segments.
    framed: usize,
    answering: Answering,
    incoming: Incoming<Request>,
    screen: Screen,
}

/// A response that was sent, and taken.
struct Replied {
    ready: After<Ready>,
    outgoing: Outgoing<Response>,
    wire: Vec<u8>,
    framed: usize,
    idle: After<Idle>,
    incoming: Incoming<Response>,
}

/// A stream's two ends. What one has sealed the other opens at once, so that what is on
/// the way stays as little as on a network.
struct Flow<S> {
    writer: Option<StreamWriter<S>>,
    reader: Option<Box<StreamReader<S>>>,
    on_the_way: Vec<u8>,
    sealed: usize,
}

impl<S: Side> Flow<S> {
    fn new(writer: StreamWriter<S>, reader: Box<StreamReader<S>>) -> Self {
        Self {
            writer: Some(writer),
            reader: Some(reader),
            on_the_way: Vec::new(),
            sealed: 0,
        }
    }

    /// Sends the content; the stream's last checkpoint.
    fn run(
        &mut self,
        content: &[u8],
        every: usize,
        mut sign: impl FnMut(CheckpointClaim) -> anyhow::Result<Proof>,
    ) -> anyhow::Result<SignedCheckpoint> {
        let mut left = content.chunks(every).peekable();
        let mut handed_on = 0;
        while let Some(part) = left.next() {
            // As bodies come from a socket.
            for piece in part.chunks(64 * 1024) {
                let writer = self.writer.as_mut().context("a stream that goes on")?;
                writer.push(piece, &mut self.on_the_way)?;
                self.read(&mut handed_on)?;
            }
            let writer = self.writer.take().context("a stream that goes on")?;
            let due: DueCheckpoint<S> = match left.peek() {
                Some(_) => writer.checkpoint(Mark::NONE),
                None => writer.finish(Mark::NONE),
            };
            let proof = sign(due.claim())?;
            self.writer = due.seal(&proof, &mut self.on_the_way)?;
            if let Some(last) = self.read(&mut handed_on)? {
                anyhow::ensure!(handed_on == content.len(), "all of the content");
                return Ok(last);
            }
        }
        bail!("a stream ends with its last checkpoint")
    }

    fn read(&mut self, handed_on: &mut usize) -> anyhow::Result<Option<SignedCheckpoint>> {
        let mut last = None;
        let mut rest = &self.on_the_way[..];
        let mut hand_on = |content: &Verified| *handed_on += content.content().len();
        while !rest.is_empty() {
            let (header, sealed, after) = segment(rest)?;
            rest = after;
            let reader = self.reader.take().context("a stream that goes on")?;
            let read = reader.read(header, sealed);
            self.reader = match read.map_err(|(_, error)| error)? {
                Read::Held(reader) => Some(reader),
                Read::Switch(_) => anyhow::bail!("nothing was re-keyed"),
                Read::Verified {
                    content, reader, ..
                } => {
                    hand_on(&content);
                    Some(reader)
                }
                Read::Final {
                    content,
                    checkpoint,
                } => {
                    hand_on(&content);
                    last = Some(checkpoint);
                    None
                }
            };
        }
        self.sealed += self.on_the_way.len();
        self.on_the_way.clear();
        Ok(last)
    }
}

/// The first segment, and what follows it.
fn segment(bytes: &[u8]) -> anyhow::Result<(SegmentHeader, &[u8], &[u8])> {
    let (header, rest) = bytes
        .split_first_chunk::<SEGMENT_HEADER_LEN>()
        .context("a segment's header")?;
    let header = SegmentHeader::from_bytes(*header)?;
    let (sealed, rest) = rest.split_at_checked(header.len).context("a segment")?;
    Ok((header, sealed, rest))
}

fn wire(request: &[u8], response: &[u8]) -> Wire {
    Wire {
        request: request.len(),
        response: response.len(),
    }
}
