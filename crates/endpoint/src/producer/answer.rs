//! What an API says to a call that was begun, sealed into the lane's log.

use std::{future::Future, pin::pin, time::Duration};

use armour_protocol::v2::{
    error::ContentError,
    message::Response as ResponseSide,
    mode::Reason,
    proxy::{Begun, FirstContent, MAX_PIECE, WholeContent},
};
use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use http::{Response, response::Parts};
use tokio::sync::mpsc;

use super::{call::Call, handshake::Upgraded, request::RequestEnd};
use crate::wire::{
    bhttp,
    body::{Ahead, Rest, ahead, pump},
    content::Content,
    interims::{Arriving, Interim},
    problem::Refusal,
    stream::{Broken, PeerMark, StreamSender},
    websocket,
};

/// How long a response may take to be complete so that it is sent whole.
const WHOLE_WITHIN: Duration = Duration::from_millis(10);

/// What the API says, or why it says nothing.
type Answer = Result<Response<Body>, Reason>;

/// A call that has been begun, and awaits its answer.
pub struct Answering<'a> {
    call: &'a Call,
    begun: Begun,
    end: Option<RequestEnd>,
    peer: PeerMark,
}

impl<'a> Answering<'a> {
    /// One whose request may go on.
    pub fn new(call: &'a Call, begun: Begun, end: Option<RequestEnd>, peer: PeerMark) -> Self {
        Self {
            call,
            begun,
            end,
            peer,
        }
    }

    /// Waits for the answer. What comes before it is sealed at once.
    pub async fn until_answered(
        self,
        served: impl Future<Output = Answer>,
        mut arriving: Arriving,
    ) -> Result<(), Broken> {
        let mut served = pin!(served);
        let interim = tokio::select! {
            biased;
            interim = arriving.next() => interim,
            answer = &mut served => match arriving.try_next() {
                None => return self.answer(answer).await,
                Some(interim) => {
                    let answer = std::future::ready(answer);
                    return self.with_interims(interim, answer, arriving).await;
                }
            },
        };
        self.with_interims(interim, served, arriving).await
    }

    /// The answer, which is all that the API has said.
    pub async fn answer(self, answer: Answer) -> Result<(), Broken> {
        let response = match answer {
            Ok(response) => response,
            Err(reason) => return self.call.bare(self.begun.abort(reason)).await,
        };
        if let Some(end) = &self.end {
            end.answer_begins();
        }
        let (head, body) = head_of(response);
        let mut content = Content::default();
        bhttp::put_response(&head, &mut content);
        match ahead(body, content, Some(WHOLE_WITHIN)).await {
            Ahead::Broken(_, None) => self.call.bare(self.begun.abort(Reason::API)).await,
            Ahead::Broken(mut content, Some(reason)) => {
                bhttp::put_reset(reason, &mut content);
                self.whole(&content).await
            }
            Ahead::Whole(content) => self.whole(&content).await,
            Ahead::More(content, rest) => {
                let (call, end, sender) = self.begin(content).await?;
                stream(call, sender, rest, end).await
            }
        }
    }

    /// Informational responses, and the answer after them. What they are told in has begun then:
    /// where there is no answer, it says so.
    async fn with_interims(
        self,
        first: Interim,
        served: impl Future<Output = Answer>,
        mut arriving: Arriving,
    ) -> Result<(), Broken> {
        let mut content = Content::default();
        bhttp::begin_response(&mut content);
        bhttp::put_status(first.0, &first.1, &mut content);
        let (call, end, mut sender) = self.begin(content).await?;
        let mut served = pin!(served);
        let answer = loop {
            tokio::select! {
                biased;
                (status, fields) = arriving.next() => {
                    bhttp::put_status(status, &fields, sender.content());
                    push(call, sender.flush().await?).await?;
                }
                answer = &mut served => break answer,
            }
        };
        while let Some((status, fields)) = arriving.try_next() {
            bhttp::put_status(status, &fields, sender.content());
        }
        if let Some(end) = &end {
            end.answer_begins();
        }
        let response = answer.unwrap_or_else(|reason| Refusal::aborted(reason).into_response());
        let (head, body) = head_of(response);
        bhttp::put_status(head.status, &head.headers, sender.content());
        stream(call, sender, Rest::of(body), end).await
    }

    async fn whole(self, content: &Content) -> Result<(), Broken> {
        let call = self.call;
        let (kind, padding) = call.held.form.of_whole(content.len());
        let Ok(whole) = WholeContent::new(content.as_slice(), kind, padding) else {
            // As much was read as is no more than its beginning: it broke off there.
            return call.bare(self.begun.abort(Reason::API)).await;
        };
        let (mut out, outgoing) = call.conclude(self.begun.answer(whole.claim())).await?;
        whole
            .seal(outgoing.ok_or(Broken)?, &mut out)
            .map_err(cannot)?;
        call.exchange.log.head(out.into());
        call.exchange.log.finish();
        match self.end {
            None => Ok(()),
            Some(end) => call.finish(Some(end.after_the_answer().await?)).await,
        }
    }

    /// Begins a stream.
    async fn begin(
        self,
        mut content: Content,
    ) -> Result<(&'a Call, Option<RequestEnd>, StreamSender<ResponseSide>), Broken> {
        let call = self.call;
        let first = content.split_to(MAX_PIECE);
        let (kind, padding) = call.held.form.of_stream();
        let first = FirstContent::new(first.as_slice(), kind, padding).map_err(cannot)?;
        let (mut out, outgoing) = call.conclude(self.begun.answer(first.claim())).await?;
        let writer = first
            .seal(outgoing.ok_or(Broken)?, &mut out)
            .map_err(cannot)?;
        call.exchange.log.head(out.into());
        let enclave = call.producer.enclave.clone();
        let sender = StreamSender::new(writer, enclave, call.lane, self.peer, content);
        Ok((call, self.end, sender))
    }
}

/// A response's head as it is carried, and its body.
fn head_of(response: Response<Body>) -> (Parts, Body) {
    let (mut head, body) = response.into_parts();
    let is_handshake = head.extensions.get::<Upgraded>().is_some();
    bhttp::strip_hop_by_hop(&mut head.headers);
    if is_handshake {
        websocket::carry_in(&mut head.headers);
    }
    (head, body)
}

async fn push(call: &Call, sealed: Option<Bytes>) -> Result<(), Broken> {
    let Some(sealed) = sealed else {
        return Ok(());
    };
    match call.exchange.log.push(sealed).await {
        true => Ok(()),
        false => Err(Broken),
    }
}

/// The rest of a response, as it comes.
async fn stream(
    call: &Call,
    sender: StreamSender<ResponseSide>,
    rest: Rest,
    mut end: Option<RequestEnd>,
) -> Result<(), Broken> {
    let log = &call.exchange.log;
    let (sink, mut source) = mpsc::channel(2);
    let forward = async {
        while let Some(chunk) = source.recv().await {
            if !log.push(chunk).await {
                break;
            }
        }
        source.close();
    };
    // A connection of HTTP/1.1 that broke off has no code of its own.
    let cut = h2::Reason::INTERNAL_ERROR;
    let pumped = async move { pump(sender, rest, cut, &sink).await };
    let (last, ()) = tokio::join!(pumped, forward);
    let last: Bytes = last?;
    // The lane's next ticket may come as soon as the last bytes are sent.
    let ended = match &mut end {
        None => Some(None),
        Some(end) => end.try_get().map(Some),
    };
    let finished = ended.is_some();
    if let Some(ended) = ended {
        call.finish(ended).await?;
    }
    log.push(last).await;
    log.finish();
    match end.filter(|_| !finished) {
        None => Ok(()),
        Some(end) => call.finish(Some(end.after_the_answer().await?)).await,
    }
}

fn cannot(error: ContentError) -> Broken {
    tracing::error!(%error, "a response cannot be sealed");
    Broken
}
